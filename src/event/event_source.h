// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <boost/intrusive/list.hpp>

#include "event/ring.h"
#include "wire/wr_id.h"

struct ibv_wc;

namespace sio::internal {

// Something that puts events into a channel's ring. All calls come under the channel's lock. What
// it is linked into is the channel's list of those that wait for room in the ring.
class EventSource : public boost::intrusive::list_base_hook<> {
 public:
  virtual ~EventSource() = default;

  // Puts what it has into the ring, as far as there is room. True: nothing is left.
  virtual bool emit(EventRing& ring) noexcept = 0;

  // The program has ended the channel: nobody will take what is in the ring or waits for room.
  virtual void channel_closed() noexcept {}

  // An event of this source was taken by the program.
  virtual void taken(const EventNote& note) noexcept = 0;
};
using HeldBack = boost::intrusive::list<EventSource, boost::intrusive::constant_time_size<true>>;

// Who posted work requests, and hears of their completions under the channel's lock.
class CompletionHandler {
 public:
  virtual ~CompletionHandler() = default;
  // A completion of its own is first offered so. True: it has done all there is to be done about
  // it, without settle().
  virtual bool complete_at_rest(const ibv_wc&) noexcept { return false; }
  // `kind` and `index` are those of its work_id.
  virtual void complete(wire::Work kind, uint32_t index, const ibv_wc& wc) noexcept = 0;
  // After a batch of completions of which at least one was its own.
  virtual void settle() noexcept = 0;
  // All that was gathered leaves now: before the channel sleeps, and when nothing has come to it
  // for a tick of the caretaker's.
  virtual void before_sleep() noexcept = 0;

  // Whether it is a socket, which has a shorter way than that (socket/arrival.h).
  bool is_socket() const noexcept { return is_socket_; }

 protected:
  explicit CompletionHandler(bool is_socket = false) noexcept : is_socket_(is_socket) {}
  bool held() const noexcept { return held_; }

 private:
  friend class CompletionHub;
  const bool is_socket_;
  bool touched_ = false;    // is in the hub's list of those to settle
  bool held_ = false;       // is in the hub's list of those that hold something back
  bool held_anew_ = false;  // has said so since the last tick
};

}  // namespace sio::internal
