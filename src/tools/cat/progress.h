// SPDX-License-Identifier: BSD-2-Clause
//
// The line that says how far a transfer is.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "cat/options.h"

namespace sio_cat {

struct Amounts {
  uint64_t sent = 0;
  uint64_t received = 0;
  uint64_t to_send = 0;  // 0: nobody knows
};

// The line for this much in that time, and how fast it is going now. Of so many columns at most.
std::string progress_line(const Amounts& amounts, double seconds, double bytes_per_second,
                          size_t columns);

// On a terminal the line is overwritten, elsewhere each is one of its own.
class Progress {
 public:
  static constexpr std::chrono::milliseconds kTerminalPeriod{200};
  static constexpr std::chrono::milliseconds kLogPeriod{1000};

  explicit Progress(const Options& options);
  bool shown() const { return shown_; }
  std::chrono::milliseconds period() const { return terminal_ ? kTerminalPeriod : kLogPeriod; }
  void show(const Amounts& amounts);
  // The last line, with the rate of the whole.
  void finish(const Amounts& amounts);
  // Something else is to be told: on a line of its own.
  void step_aside();

 private:
  using Clock = std::chrono::steady_clock;
  void print(const std::string& line, bool last);

  bool terminal_;
  bool shown_;
  bool dirty_ = false;  // the line on the terminal has no end yet
  Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
  uint64_t last_bytes_ = 0;
};

}  // namespace sio_cat
