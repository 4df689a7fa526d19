// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <ctime>
#include <utility>

#include "base/fd.h"
#include "event/added_source.h"

namespace sio::internal {

// A timer. At most one event of it is in the ring; expirations meanwhile are counted by the kernel,
// and the next event tells of them. One that does not repeat ends with its event.
class TimerSource final : public AddedSource {
 public:
  // flags: those of timerfd_settime.
  TimerSource(clockid_t clock, const itimerspec& times, int flags, void* cookie);

  int fd() const noexcept override { return fd_.get(); }
  bool emit(EventRing& ring) noexcept override;
  void taken(const EventNote&) noexcept override { in_ring_ = false; }
  Next after_taken() noexcept override { return over_ ? Next::kEnd : Next::kNothing; }

 private:
  TimerSource(OwnFd&& fd, bool repeats, void* cookie) noexcept
      : AddedSource(cookie), fd_(std::move(fd)), repeats_(repeats) {}

  const OwnFd fd_;
  const bool repeats_;
  bool in_ring_ = false;
  bool over_ = false;
};

}  // namespace sio::internal
