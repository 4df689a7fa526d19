// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <algorithm>
#include <chrono>
#include <ctime>

namespace sio::internal {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

inline constexpr TimePoint kNever = TimePoint::max();

// Who waits for ever does not pay for the clock.
inline bool is_over(TimePoint deadline) noexcept {
  return deadline != kNever && Clock::now() >= deadline;
}

// From a relative timespec as the interface takes it; NULL is for ever. Returns false if it is
// not a valid time.
inline bool deadline_after(const timespec* tout, TimePoint& deadline) noexcept {
  if (tout == nullptr) {
    deadline = kNever;
    return true;
  }
  if (tout->tv_sec < 0 || tout->tv_nsec < 0 || tout->tv_nsec >= 1'000'000'000) return false;
  // Longer than three years is for ever: it keeps the sum below from overflowing.
  if (tout->tv_sec > 100'000'000) {
    deadline = kNever;
    return true;
  }
  deadline = Clock::now() + std::chrono::seconds(tout->tv_sec) + nanoseconds(tout->tv_nsec);
  return true;
}

// What is left until `deadline`, never negative.
inline timespec time_until(TimePoint deadline) noexcept {
  const auto left = std::max(nanoseconds(0), nanoseconds(deadline - Clock::now()));
  return {static_cast<time_t>(left.count() / 1'000'000'000),
          static_cast<long>(left.count() % 1'000'000'000)};
}

}  // namespace sio::internal
