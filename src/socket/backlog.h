// SPDX-License-Identifier: BSD-2-Clause
//
// The connections that wait for sio_accept, and when the program is told of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "provider/provider.h"
#include "wire/hello.h"

namespace sio::internal {

// An event tells of each when it has come. What the program lacks when it cannot take one comes
// back in many ways, of which some show nowhere: other sockets end, descriptors are closed. So it
// is told by the clock, of one connection: after that, or when it has accepted one by itself, of
// the next. The clock is the owner's, and so is the lock.
class Backlog {
 public:
  struct Pending {
    std::unique_ptr<provider::Endpoint> endpoint;
    wire::Hello hello;
    bool refused = false;  // by sio_accept, which failed
    uint32_t pauses = 0;   // that followed, until the program was told again
  };
  using Queue = std::list<Pending>;  // for one to move from here to there needs no memory

  static constexpr int kMost = 4096;
  // Until the program is told again: twice as long if that was in vain, five times. What cannot be
  // taken for long costs it a call, and perhaps a line of its log.
  static constexpr milliseconds kFirstPause{20};
  static constexpr milliseconds kLongestPause{640};

  void set_limit(int wish) noexcept;
  bool has_limit() const noexcept { return limit_ > 0; }
  bool empty() const noexcept { return waiting_.empty(); }
  bool full() const noexcept { return waiting_.size() >= limit_; }
  bool holds(uint64_t serial) const noexcept;

  // One that asks, to be added; what needs memory is done with it.
  static Queue newcomer(std::unique_ptr<provider::Endpoint> endpoint, const wire::Hello& hello);
  void add(Queue newcomer) noexcept;
  // It has given up. No more events are owed than connections wait, however many come and go.
  void forget(uint64_t serial) noexcept;
  // The one that has waited longest, alone; there is one.
  Queue take_first() noexcept;
  // It could not be accepted, and is the first again.
  void put_back(Queue first) noexcept;
  // All; no more of them is told.
  Queue take_all() noexcept;

  // Events: what is owed, what the program has been given, and what it has taken.
  bool owes_event() const noexcept { return owed_ > 0; }
  void event_given() noexcept;
  void event_taken() noexcept { --given_; }

  // Of the first, which was put back. After what pause the owner is to say came_due(); nothing:
  // that has been arranged, and no later.
  std::optional<milliseconds> tell_later(TimePoint now) noexcept;
  void came_due() noexcept { due_ = kNever; }
  // Whether one more event is owed now; not while one that the program has not taken says the same.
  bool tell_again() noexcept;

 private:
  Queue waiting_;
  size_t limit_ = 0;
  size_t owed_ = 0;
  size_t given_ = 0;
  size_t refused_ = 0;  // that wait on, and of which the program was told before
  TimePoint due_ = kNever;
};

}  // namespace sio::internal
