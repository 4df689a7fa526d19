// SPDX-License-Identifier: BSD-2-Clause
#include "pace.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "process.h"

namespace sio_perf {
namespace {

constexpr double kNsPerSecond = 1e9;
constexpr uint64_t kShowEveryNs = 200'000'000;
constexpr uint64_t kNever = UINT64_MAX;

bool shown = false;

}  // namespace

Pace Pace::measure(const Options& options, uint32_t size) {
  const bool progress = !options.quiet && ::isatty(STDERR_FILENO) == 1;
  return Pace(options.iterations, options.seconds, size, progress);
}

Pace::Pace(uint64_t messages, double seconds, uint32_t size, bool progress)
    : messages_(messages),
      begin_(now_ns()),
      end_(messages != 0 ? kNever : begin_ + static_cast<uint64_t>(seconds * kNsPerSecond)),
      next_show_(progress ? begin_ + kShowEveryNs : kNever),
      size_(size) {}

void Pace::look(uint64_t number) {
  check_stop();
  const uint64_t now = now_ns();
  if (now >= end_) over_ = true;
  if (now >= next_show_) {
    show(number, now);
    next_show_ = now + kShowEveryNs;
  }
}

void Pace::show(uint64_t number, uint64_t now) const {
  const uint64_t done = messages_ != 0 ? number : now - begin_;
  const uint64_t all = messages_ != 0 ? messages_ : end_ - begin_;
  const double percent = 100.0 * static_cast<double>(done) / static_cast<double>(all);
  std::fprintf(stderr, "\r\033[K%u bytes: %3.0f %%", size_, percent);
  std::fflush(stderr);
  shown = true;
}

uint64_t rest(const Options& options) {
  const auto interval = std::chrono::microseconds(options.interval_us);
  if (options.event) {
    std::this_thread::sleep_for(interval);
    return now_ns();
  }
  const uint64_t until =
      now_ns() + static_cast<uint64_t>(std::chrono::nanoseconds(interval).count());
  uint64_t now;
  while ((now = now_ns()) < until) continue;
  return now;
}

void clear_progress() {
  if (!shown) return;
  std::fputs("\r\033[K", stderr);
  shown = false;
}

}  // namespace sio_perf
