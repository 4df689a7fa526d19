// SPDX-License-Identifier: BSD-2-Clause
#include "event/timer_source.h"

#include <sys/timerfd.h>

#include "base/error.h"

namespace sio::internal {

TimerSource::TimerSource(clockid_t clock, const itimerspec& times, int flags, void* cookie)
    : TimerSource(
          OwnFd(check_errno(timerfd_create(clock, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create")),
          times.it_interval.tv_sec != 0 || times.it_interval.tv_nsec != 0, cookie) {
  check_errno(timerfd_settime(fd_.get(), flags, &times, nullptr), "timerfd_settime");
}

bool TimerSource::emit(EventRing& ring) noexcept {
  if (in_ring_ || over_) return true;
  if (ring.full()) return false;
  uint64_t expirations = 0;
  const bool read = ::read(fd_.get(), &expirations, sizeof expirations) == sizeof expirations;
  // The clock was set, and the program has asked to be told (TFD_TIMER_CANCEL_ON_SET).
  const bool cancelled = !read && errno == ECANCELED;
  if (!read && !cancelled) return true;
  event_data_t& event = push(ring, EC_TIMER, id());
  event.value = expirations;
  event.error = cancelled ? ECANCELED : 0;
  in_ring_ = true;
  over_ = read && !repeats_;
  return true;
}

}  // namespace sio::internal
