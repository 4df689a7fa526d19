// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <ctime>
#include <utility>

#include "base/fd.h"
#include "event/added_source.h"

namespace sio::internal {

// A timer. At most one event of it is in the ring; expirations meanwhile are counted by the kernel,
// and the next event tells of them. One that does not repeat ends with its event. When the clock
// was set (TFD_TIMER_CANCEL_ON_SET) the kernel forgets the expirations that nobody was told of, and
// with them the timer: it is set once more, to the first of those.
class TimerSource final : public AddedSource {
 public:
  // flags: those of timerfd_settime.
  TimerSource(clockid_t clock, const itimerspec& times, int flags, void* cookie);

  int fd() const noexcept override { return fd_.get(); }
  bool emit(EventRing& ring) noexcept override;
  void taken(const EventNote&) noexcept override { in_ring_ = false; }
  Next after_taken() noexcept override { return over_ ? Next::kEnd : Next::kNothing; }

 private:
  TimerSource(OwnFd&& fd, const itimerspec& times, int flags, void* cookie) noexcept
      : AddedSource(cookie), fd_(std::move(fd)), times_(times), flags_(flags) {}

  bool repeats() const noexcept {
    return times_.it_interval.tv_sec != 0 || times_.it_interval.tv_nsec != 0;
  }
  void set_again() noexcept;

  const OwnFd fd_;
  const itimerspec times_;
  const int flags_;
  uint64_t told_ = 0;  // expirations
  bool in_ring_ = false;
  bool over_ = false;
};

}  // namespace sio::internal
