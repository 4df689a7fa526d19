// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <sys/epoll.h>

#include <cstdint>

#include "event/event_source.h"

namespace sio::internal {

// What a program adds to a channel, sockets apart. Called under the channel's lock, and destroyed
// without it.
class AddedSource : public EventSource {
 public:
  // What is to happen when an event of it was taken.
  enum class Next {
    kNothing,
    kOffer,  // it has another one
    kRearm,  // its descriptor, which is one-shot in epoll
    kEnd,    // it was the last one
  };

  explicit AddedSource(void* cookie) noexcept : cookie_(cookie) {}

  // What epoll is to wait for; -1: nothing, somebody else offers it.
  virtual int fd() const noexcept { return -1; }
  virtual uint32_t epoll_bits() const noexcept { return EPOLLIN; }
  // epoll says that it is ready; then it is offered.
  virtual void becomes_ready(uint32_t) noexcept {}
  virtual Next after_taken() noexcept { return Next::kNothing; }

  // What epoll_event.data says of it: the id or, of a descriptor that is not ours, the number and,
  // above it, a generation from 1. A result that epoll gave before such a descriptor was deleted,
  // or gives of a closed one that has a duplicate, is not to be told of who has the number next.
  static constexpr unsigned kGenerationShift = 32;
  static constexpr uint32_t kMostGenerations = 0x7fff'ffff;  // the channel's own have the top bit
  uint64_t name() const noexcept { return name_; }
  void set_name(uint64_t name) noexcept { name_ = name; }
  int id() const noexcept { return static_cast<int>(name_); }

 protected:
  // Precondition: the ring is not full.
  event_data_t& push(EventRing& ring, uint32_t kind, int fd) noexcept {
    event_data_t& event = ring.push({this, kind, 0, 0});
    event = {};
    event.kind = kind;
    event.fd = fd;
    event.cookie = cookie_;
    return event;
  }
  void set_cookie(void* cookie) noexcept { cookie_ = cookie; }

 private:
  void* cookie_;
  uint64_t name_ = 0;
};

}  // namespace sio::internal
