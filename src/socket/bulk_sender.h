// SPDX-License-Identifier: BSD-2-Clause
//
// The sending half of the bulk lane. Used under the channel's lock.
//
// 1. Messages go in the order in which they were announced: announced, granted by the peer, posted,
//    done. At most kMaxAnnounced of them are not done.
// 2. What is posted has its receives posted at the peer: that is what a grant says.
// 3. The last SEND of each message is signalled, and one in a few before it, so that the queue
//    empties.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "socket/gather.h"
#include "socket/lane.h"
#include "socket/link.h"
#include "socket/outcomes.h"

namespace sio::internal {

class BulkSender {
 public:
  BulkSender(Link& link, Lane& lane, Outcomes& outcomes);
  ~BulkSender() { fail(ECONNABORTED); }
  BulkSender(const BulkSender&) = delete;
  BulkSender& operator=(const BulkSender&) = delete;

  static constexpr uint32_t kQueueSize = 64;  // work requests

  // Whether another message may be announced.
  bool has_room() const noexcept { return tail_ - done_ < wire::kMaxAnnounced; }
  // Before it is announced: takes what the message needs besides its own memory. 0, -EAGAIN, or
  // -EMSGSIZE: the device gathers fewer pieces. Then it is announced or given up.
  int stage(const Gather& gather) noexcept;
  void announced(const Gather& gather) noexcept;
  void give_up() noexcept;

  // The peer has posted receives for n more. False: for more than the `announced` it has heard of.
  bool granted(uint32_t n, uint32_t announced) noexcept;
  // Posts what can be posted. 0 or an errno, which is the end of the connection.
  int pump() noexcept;

  void completed(uint32_t index) noexcept;
  void failed(uint32_t index) noexcept;
  // Each message that is not done fails.
  void fail(int error) noexcept;

  // The last work request of this queue.
  uint32_t mark_end() noexcept;
  bool idle() const noexcept { return tail_ == done_; }
  uint32_t not_done() const noexcept { return tail_ - done_; }
  // Whether the lane stays busy while the last `waiting` have not been announced yet.
  bool stays_busy(uint32_t waiting) const noexcept {
    const uint32_t ahead = not_done() - std::min(waiting, not_done());
    return lane_stays_busy(ahead, waiting, [this](uint32_t i) { return at(done_ + i).length; });
  }
  // Some of it has not left yet.
  bool holding() const noexcept { return next_ != tail_; }
  bool nothing_posted() const noexcept { return posted_ == completed_; }
  int post_error() const noexcept { return post_error_; }

 private:
  struct Message {
    std::array<ibv_sge, kMaxGather> sges;
    uint32_t count;
    uint32_t length;
    uint32_t records;
    StagingBuffer* buffer;
    uint32_t sent;   // bytes that are posted
    uint32_t entry;  // where the next ones are
    uint32_t skip;
    uint32_t end;  // of its work requests: the count of posted ones after the last
  };
  static constexpr uint32_t kSpare = 4;  // for the mark of the end

  const Message& at(uint32_t i) const noexcept { return (*messages_)[i % wire::kMaxAnnounced]; }
  Message& at(uint32_t i) noexcept { return (*messages_)[i % wire::kMaxAnnounced]; }
  bool can_post() const noexcept {
    return posted_ - completed_ < kQueueSize - kSpare && post_error_ == 0;
  }
  void post_piece(Message& message) noexcept;
  void post(ibv_send_wr& wr, bool signal) noexcept;
  void finish_posted(uint32_t upto) noexcept;
  void finish(Message& message, int error) noexcept;

  Link& link_;
  Lane& lane_;
  Outcomes& outcomes_;
  std::unique_ptr<std::array<Message, wire::kMaxAnnounced>> messages_;
  // Counts that go on for ever: done_ <= next_ <= granted_ <= tail_.
  uint32_t done_ = 0;
  uint32_t next_ = 0;  // to be posted
  uint32_t granted_ = 0;
  uint32_t tail_ = 0;
  uint32_t posted_ = 0;  // work requests
  uint32_t completed_ = 0;
  uint32_t unsignalled_ = 0;
  bool failing_ = false;
  int post_error_ = 0;
};

}  // namespace sio::internal
