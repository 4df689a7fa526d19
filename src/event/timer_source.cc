// SPDX-License-Identifier: BSD-2-Clause
#include "event/timer_source.h"

#include <sys/timerfd.h>

#include <limits>

#include "base/error.h"

namespace sio::internal {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

// start + n * step; the last that can be told, if it is later.
timespec advanced(const timespec& start, const timespec& step, uint64_t n) noexcept {
  const auto in_ns = [](const timespec& time, uint64_t& ns) {
    return !__builtin_mul_overflow(static_cast<uint64_t>(time.tv_sec), kSecond, &ns) &&
           !__builtin_add_overflow(ns, static_cast<uint64_t>(time.tv_nsec), &ns);
  };
  uint64_t from = 0;
  uint64_t by = 0;
  uint64_t ns = 0;
  if (!in_ns(start, from) || !in_ns(step, by) || __builtin_mul_overflow(by, n, &ns) ||
      __builtin_add_overflow(ns, from, &ns)) {
    ns = std::numeric_limits<uint64_t>::max();
  }
  return {static_cast<time_t>(ns / kSecond), static_cast<long>(ns % kSecond)};
}

}  // namespace

TimerSource::TimerSource(clockid_t clock, const itimerspec& times, int flags, void* cookie)
    : TimerSource(
          OwnFd(check_errno(timerfd_create(clock, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create")),
          times, flags, cookie) {
  check_errno(timerfd_settime(fd_.get(), flags, &times, nullptr), "timerfd_settime");
}

// The times are absolute, else nothing is cancelled. What has passed expires at once.
void TimerSource::set_again() noexcept {
  itimerspec times = times_;
  times.it_value = advanced(times.it_value, times.it_interval, told_);
  // Fails with ECANCELED if the clock was set once more, but sets the timer all the same.
  timerfd_settime(fd_.get(), flags_, &times, nullptr);
}

bool TimerSource::emit(EventRing& ring) noexcept {
  if (in_ring_ || over_) return true;
  if (ring.full()) return false;
  uint64_t expirations = 0;
  const bool read = ::read(fd_.get(), &expirations, sizeof expirations) == sizeof expirations;
  // The clock was set, and the program has asked to be told (TFD_TIMER_CANCEL_ON_SET).
  const bool cancelled = !read && errno == ECANCELED;
  if (!read && !cancelled) return true;
  if (cancelled) set_again();
  told_ += expirations;
  event_data_t& event = push(ring, EC_TIMER, id());
  event.value = expirations;
  event.error = cancelled ? ECANCELED : 0;
  in_ring_ = true;
  over_ = read && !repeats();
  return true;
}

}  // namespace sio::internal
