// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <sio/ec.h>
#include <sys/epoll.h>

#include <utility>

#include "event/event_source.h"

namespace sio::internal {

// A descriptor that is not the library's. At most one event of it is in the ring. Readiness is
// a level: the descriptor is one-shot in epoll and armed again once its event was taken and the
// channel is looked at next. With EPOLLET or EPOLLONESHOT it is as the program asked.
class FdSource final : public EventSource {
 public:
  static constexpr uint32_t kBits = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLERR |
                                    EPOLLHUP | EPOLLRDNORM | EPOLLRDBAND | EPOLLWRNORM |
                                    EPOLLWRBAND | EPOLLET | EPOLLONESHOT;

  FdSource(int fd, uint32_t events, void* cookie) noexcept
      : fd_(fd), events_(events), cookie_(cookie) {}

  int fd() const noexcept { return fd_; }
  bool level() const noexcept { return (events_ & (EPOLLET | EPOLLONESHOT)) == 0; }
  uint32_t epoll_bits() const noexcept {
    return level() ? events_ | static_cast<uint32_t>(EPOLLONESHOT) : events_;
  }
  void set(uint32_t events, void* cookie) noexcept {
    events_ = events;
    cookie_ = cookie;
    ready_ = 0;
  }

  // epoll says so.
  void becomes_ready(uint32_t bits) noexcept { ready_ |= bits; }
  // The program has taken the event: look again before the next sleep.
  bool wants_rearming() noexcept { return std::exchange(rearm_, false); }

  bool emit(EventRing& ring) noexcept override {
    if (ready_ == 0 || in_ring_) return true;
    if (ring.full()) return false;
    event_data_t& event = ring.push({this, EC_FD, 0, 0});
    event = {};
    event.kind = EC_FD;
    event.fd = fd_;
    event.cookie = cookie_;
    event.ready = ready_;
    ready_ = 0;
    in_ring_ = true;
    return true;
  }

  void taken(const EventNote&) noexcept override {
    in_ring_ = false;
    rearm_ = level();
  }
  void dropped() noexcept { in_ring_ = false; }
  bool pending() const noexcept { return ready_ != 0; }

 private:
  int fd_;
  uint32_t events_;
  void* cookie_;
  uint32_t ready_ = 0;  // bits that no event has told yet
  bool in_ring_ = false;
  bool rearm_ = false;
};

}  // namespace sio::internal
