// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <sio/ec.h>
#include <sys/epoll.h>

#include <utility>

#include "base/fd.h"
#include "event/added_source.h"

namespace sio::internal {

// A descriptor that is not the library's. At most one event of it is in the ring. Readiness is
// a level: the descriptor is one-shot in epoll and armed again once its event was taken and the
// channel is looked at next. With EPOLLET or EPOLLONESHOT it is as the program asked.
class FdSource : public AddedSource {
 public:
  static constexpr uint32_t kBits = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLERR |
                                    EPOLLHUP | EPOLLRDNORM | EPOLLRDBAND | EPOLLWRNORM |
                                    EPOLLWRBAND | EPOLLET | EPOLLONESHOT;

  FdSource(int fd, uint32_t events, void* cookie) noexcept
      : AddedSource(cookie), fd_(fd), events_(events) {}

  int fd() const noexcept override { return fd_; }
  uint32_t epoll_bits() const noexcept override {
    return level() ? events_ | static_cast<uint32_t>(EPOLLONESHOT) : events_;
  }
  void set(uint32_t events, void* cookie) noexcept {
    events_ = events;
    set_cookie(cookie);
    ready_ = 0;
  }

  // Perhaps of what was waited for until just now.
  void becomes_ready(uint32_t bits) noexcept override {
    ready_ |= bits & (events_ | EPOLLERR | EPOLLHUP);
  }

  bool emit(EventRing& ring) noexcept override {
    if (ready_ == 0 || in_ring_) return true;
    if (ring.full()) return false;
    event_data_t& event = push(ring, kind(), told_as());
    event.ready = std::exchange(ready_, 0);
    in_ring_ = true;
    return true;
  }

  void taken(const EventNote&) noexcept override { in_ring_ = false; }
  Next after_taken() noexcept override {
    if (ready_ != 0) return Next::kOffer;
    return level() ? Next::kRearm : Next::kNothing;
  }
  void dropped() noexcept { in_ring_ = false; }

 protected:
  virtual uint32_t kind() const noexcept { return EC_FD; }
  virtual int told_as() const noexcept { return fd_; }

 private:
  bool level() const noexcept { return (events_ & (EPOLLET | EPOLLONESHOT)) == 0; }

  const int fd_;
  uint32_t events_;
  uint32_t ready_ = 0;  // bits that no event has told yet
  bool in_ring_ = false;
};

// A message queue, by a descriptor of our own: the program may close its.
class MessageQueueSource final : public FdSource {
 public:
  MessageQueueSource(OwnFd&& own, int of_program, uint32_t events, void* cookie) noexcept
      : FdSource(own.get(), events, cookie), own_(std::move(own)), of_program_(of_program) {}

 protected:
  uint32_t kind() const noexcept override { return EC_MQ; }
  int told_as() const noexcept override { return of_program_; }

 private:
  const OwnFd own_;
  const int of_program_;
};

}  // namespace sio::internal
