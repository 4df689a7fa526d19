// SPDX-License-Identifier: BSD-2-Clause
//
// When a phase of a run ends: after its messages, or after its time; and the progress meanwhile.
#pragma once

#include <cstdint>

#include "options.h"

namespace sio_perf {

class Pace {
 public:
  static Pace warm_up(const Options& options) { return Pace(options.warmup, 0, 0, false); }
  static Pace measure(const Options& options, uint32_t size);

  // Whether the message of that number, from 1, is the last one. Throws Interrupted on a signal.
  bool is_last(uint64_t number) {
    // A look at the clock costs as much as a small part of a message.
    if (number % kLookEvery == 0) look(number);
    return number == messages_ || over_;
  }

 private:
  static constexpr uint64_t kLookEvery = 32;

  Pace(uint64_t messages, double seconds, uint32_t size, bool progress);
  void look(uint64_t number);
  void show(uint64_t number, uint64_t now) const;

  uint64_t messages_;  // 0: until end_
  uint64_t begin_, end_, next_show_;
  uint32_t size_;
  bool over_ = false;
};

// Lets the interval between round trips pass, asleep if the run is one that sleeps. Returns when it
// was over.
uint64_t rest(const Options& options);

// Removes the progress line, if there is one.
void clear_progress();

}  // namespace sio_perf
