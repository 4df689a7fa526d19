// SPDX-License-Identifier: BSD-2-Clause
//
// The receiving half of the bulk lane. Used under the channel's lock.
//
// 1. Messages are granted, and come, in the order in which they were announced. Of one that is
//    granted the receives are posted: one for each piece, in a block of exactly its size.
// 2. At most kMaxAnnounced wait for their grant; that the peer knows. At most kMostGranted are
//    granted and not taken by the program; the others wait, and for memory too.
// 3. The next one to be taken is always the first to be granted, so what waits for memory waits
//    for nobody but the program; of a pool that connections share, for the program and those that
//    came before.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "socket/bulk_turns.h"
#include "socket/lane.h"
#include "socket/link.h"

namespace sio::internal {

class BulkReceiver {
 public:
  // `pool` may be null: then nothing may be announced. `turns`: of a pool that is shared; its
  // `handler` is called when it has its turn.
  BulkReceiver(Link& link, Lane& lane, BulkPool* pool, BulkTurns* turns,
               CompletionHandler* handler);
  ~BulkReceiver();
  BulkReceiver(const BulkReceiver&) = delete;
  BulkReceiver& operator=(const BulkReceiver&) = delete;

  // Work requests that the receive queue must take.
  static uint32_t queue_size(const BulkPool* pool) noexcept;

  // False: not a message that the peer may announce now.
  bool announced(uint32_t length) noexcept;
  // Posts receives for what waits, as far as there is memory: how many messages, or -errno.
  int grant() noexcept;
  // A piece has come. False: not as announced.
  bool completed(uint32_t length) noexcept;
  void flushed() noexcept { --posted_; }
  uint32_t posted() const noexcept { return posted_; }

  // Whether the lane stays busy while the peer has not been told of the last `owed` grants.
  bool stays_busy(uint32_t owed) const noexcept {
    const uint32_t ahead = granted_ - arrived_ - std::min(owed, granted_ - arrived_);
    return lane_stays_busy(ahead, owed, [this](uint32_t i) { return at(arrived_ + i).length; });
  }

  // The next message of the lane has this length, as announced.
  bool expects(uint32_t length) const noexcept;
  // All that was announced has come.
  bool all_here() const noexcept { return announced_ == arrived_ && !cut_; }
  // It has come: where it is.
  bool here() const noexcept { return arrived_ != taken_; }
  struct Message {
    char* data;
    uint32_t length;
    uint32_t block;
  };
  const Message& next() const noexcept { return at(taken_); }
  // It is the program's. True: grant() has something to look at again.
  bool take() noexcept;

  // The program never saw it.
  void take_back(uint32_t block) noexcept { pool_->take_back(block); }

  // What was announced up to now is not wanted: it comes, and goes.
  void drop_all() noexcept;
  // Nothing is granted any more.
  void stop() noexcept {
    if (turns_ != nullptr) turns_->pass(turn_);
  }
  // The queue pair has gone: what was posted will not come.
  void end() noexcept;

 private:
  static constexpr uint32_t kMostGranted = 32;
  static constexpr uint32_t kRing = 128;
  static_assert(kRing >= wire::kMaxAnnounced + kMostGranted);

  const Message& at(uint32_t i) const noexcept { return (*messages_)[i % kRing]; }
  Message& at(uint32_t i) noexcept { return (*messages_)[i % kRing]; }
  uint32_t take_memory(Message& message) noexcept;
  int post(const Message& message) noexcept;
  void pass_over_dropped() noexcept;

  Link& link_;
  Lane& lane_;
  BulkPool* const pool_;
  BulkTurns* const turns_;  // or null
  BulkTurns::Turn turn_;
  const uint32_t receives_;
  std::unique_ptr<std::array<Message, kRing>> messages_;
  // Counts that go on for ever: taken_ <= arrived_ <= granted_ <= announced_.
  uint32_t taken_ = 0;
  uint32_t arrived_ = 0;
  uint32_t granted_ = 0;
  uint32_t announced_ = 0;
  uint32_t dropped_ = 0;  // those before it are not wanted
  uint32_t come_ = 0;     // bytes of the message that is coming
  uint32_t posted_ = 0;   // receives
  bool cut_ = false;      // the connection has ended before all had come
};

}  // namespace sio::internal
