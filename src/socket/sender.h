// SPDX-License-Identifier: BSD-2-Clause
//
// The sending half of a connection: credits, the train, the send queue, and who is owed an
// outcome. Used under the channel's lock.
//
// 1. A data SEND is posted only with a credit for data, and leaves two receives at the peer, as
//    does a frame for grants; a credit frame leaves one, for the end. So the peer has a receive
//    posted for all that we send.
// 2. All work requests are counted against the send queue, from posting to a completion that
//    covers them: a signalled one covers all before it.
// 3. The window counts SENDs that nothing was heard of since: no completion that covers them, no
//    frame of the peer's, each of which makes up for one; where messages are rare those of a while
//    ago do not count. While it is open a message is a SEND of its own; while it is closed small
//    ones gather in the train. While messages follow one another nobody looks for completions, so
//    that trains fill even on a device that completes at once: what is saved is the cost of a
//    SEND. The order of messages is that of send().
// 4. Each message that lent a buffer has a record (outcomes.h).
// 5. While large messages keep the lane busy what announces and grants further ones gathers too: it
//    leaves when most of what was under way has gone (lane.h), or before the channel sleeps.
// 6. On a stream there is at most one rest (rest.h), behind all else that was accepted; while there
//    is one nothing more is.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "base/static_probe.h"
#include "socket/gather.h"
#include "socket/link.h"
#include "socket/outcomes.h"
#include "socket/rest.h"
#include "socket/train.h"
#include "wire/frame.h"
#include "wire/hello.h"

namespace sio::internal {

class BulkReceiver;
class BulkSender;

class alignas(64) Sender {
 public:
  struct Limits {
    uint32_t peer_slot_size;
    uint32_t peer_slots;    // credits for data, first
    uint32_t most_credits;  // and at most
    uint32_t quota;         // SENDs in flight at most
    uint32_t window;        // SENDs; invariant 3
    uint32_t copy_max;      // bytes; set_copy_max()
  };

  Sender(Link& link, Outcomes& outcomes) noexcept : link_(link), outcomes_(outcomes) {}
  ~Sender();
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  // Work requests that the send queue must take for this quota.
  static uint32_t queue_size(uint32_t quota) noexcept;

  // The queue pair is there; nothing may be posted yet.
  void prepare(uint32_t quota, bool stream);
  // The connection stands. Before, messages gather in a first train.
  void open(const Limits& limits) noexcept;
  bool opened() const noexcept { return open_; }
  // Messages up to this are copied.
  void set_copy_max(uint32_t bytes) noexcept {
    limits_.copy_max = bytes;
    plain_most_ = std::min({limits_.peer_slot_size, link_.queue_pair->max_inline(), bytes});
  }

  // Whether it pays to look for completions before send() of a message that would wait for the
  // window: this was closed by a SEND some time ago, so it is no burst, and nothing should wait.
  bool window_may_be_open(size_t length) const noexcept;

  // 0 or -EAGAIN. alone: a SEND of its own, now. more: may wait for the next message.
  int send(const OutgoingMessage& message, bool alone, bool more) noexcept;
  // The same; -EMSGSIZE: the device gathers fewer pieces.
  int send(const Gather& gather, bool alone, bool more) noexcept;

  // The same of a message that is copied and of which nobody wants to hear, where there is nothing
  // else to be done or to be thought of: by far the most are so. It may be posted at once:
  bool may_post_plain(size_t length) const noexcept;
  // False: post_error() says why not.
  bool post_plain(const void* data, uint32_t length) noexcept;
  // Before any of these is asked: what is sent seldom finds the window open, although nothing was
  // heard of the SENDs before.
  void age_window(size_t length) noexcept {
    const bool closes = ahead_ >= plain_window_ && plain_window_ > 0 && train_.empty();
    if (closes && length < limits_.peer_slot_size &&
        train_.gathers(static_cast<uint32_t>(length))) {
      see_whether_settled();
    }
  }
  // If none may: whether this one may begin another row of them. It is posted like this, since
  // something is owed or asked for that has to go with it.
  bool may_begin_plain(size_t length) const noexcept {
    return length - 1 < plain_most_ && ahead_ < plain_window_ && may_begin_row();
  }
  bool post_first_plain(const void* data, uint32_t length) noexcept;
  // Or it goes behind others, to leave later: then this holds. False: nothing was done.
  bool add_plain(const void* data, size_t length, bool alone) noexcept;

  // The same of one that leaves its bytes where they are, or in a staging buffer, until it is
  // acknowledged (laden_send.cc). Whether it may be posted: as the next of a row or as its first.
  bool may_post_laden(size_t length) const noexcept;
  // Lent: what becomes of it is the outcome that is added next. Both: false as post_plain().
  bool post_lent(const void* data, uint32_t length, uint32_t lkey) noexcept;
  // In the buffer there is a copy of it, and it goes back to the pool.
  bool post_staged(StagingBuffer* buffer, uint32_t length) noexcept;

  // Bytes of a stream; so far as they do not leave at once, all or none of them are accepted.
  int stream(const OutgoingMessage& message, bool alone, bool more) noexcept;
  int stream(const Gather& gather, bool alone, bool more) noexcept;

  // Whether a message fits into the peer's slots. If not it is announced, and goes on the bulk
  // lane.
  bool fits(size_t length) const noexcept { return !open_ || length <= limits_.peer_slot_size; }
  // 0 or -EAGAIN. The peer must have been told of the lane before.
  int announce(uint32_t length, bool more) noexcept;
  // How many announcements have left.
  uint32_t announced() const noexcept { return announced_; }
  // Tells the peer where our end of the lane is: `address` (wire::kLaneAddressSize bytes, with this
  // lkey) must stay. Once.
  void tell_lane(const void* address, uint32_t lkey) noexcept {
    lane_address_ = {reinterpret_cast<uintptr_t>(address), wire::kLaneAddressSize, lkey};
    lane_due_ = true;
    stir();
  }
  bool lane_told() const noexcept { return !lane_due_; }
  void set_bulk(const BulkSender* sender, const BulkReceiver* receiver) noexcept {
    bulk_sender_ = sender;
    bulk_receiver_ = receiver;
  }
  // Grants to give, which come after that.
  void owe_grants(uint32_t n) noexcept {
    owed_grants_ += n;
    stir();
  }

  // Posts what can be posted: the train if the window allows (force: in any case), credits that
  // are due, the end.
  void pump(bool force) noexcept;

  // The errno of a post that failed, which is the end of the connection; 0: none did. What was
  // accepted gets its outcome from fail().
  int post_error() const noexcept { return post_error_; }

  // A frame of the peer's has come: it keeps up.
  void heard() noexcept {
    ahead_ -= ahead_ > 0 ? 1 : 0;
    rest_left_ = 0;
  }

  // Credits to give, which ride in whatever goes next, or in a frame of their own.
  void owe_credits(uint32_t data, uint32_t control) noexcept {
    owed_data_ += data;
    owed_control_ += control;
    plain_left_ = 0;
    rest_left_ = control == 0 && rest_left_ > data ? rest_left_ - data : 0;
  }
  // Asks the peer for credits that it does not use. It answers with a refund.
  void owe_recall() noexcept {
    if (!link_.may_recall || link_.recalled) return;
    recall_due_ = true;
    stir();
  }
  // It asks us. False: it may not.
  bool recalled() noexcept {
    if (!link_.may_recall) return false;
    refund_due_ = true;
    stir();
    return true;
  }
  // False: more than were used; the peer is lying.
  bool add_credits(uint32_t data, uint32_t control) noexcept;

  // Whether there is nothing to be sent when a frame with this has come, which is a message, and
  // the peer has used up a credit for it. False: perhaps not, then may_hear_at_rest() knows, and if
  // so it takes what credits it gives.
  bool rests_after(uint32_t imm_data) const noexcept {
    return rest_left_ > 0 && wire::is_bare_message(imm_data);
  }
  bool may_hear_at_rest(uint32_t imm_data) noexcept;
  // Then: it has come.
  void hear_at_rest() noexcept {
    --rest_left_;
    ahead_ -= ahead_ > 0 ? 1 : 0;
    --link_.peer_credits;
  }

  void end() noexcept {
    end_wanted_ = true;
    stir();
  }
  bool end_wanted() const noexcept { return end_wanted_; }

  // A signalled, empty RDMA WRITE with key 0: is acknowledged by the peer's device although no
  // receive is posted, and writes nothing. For keepalive, and to learn of unsignalled sends.
  void probe() noexcept;
  // Sees to it that a completion will tell of all that was posted.
  void fence() noexcept;
  // Asks whether the peer is there: the sends that are under way do, else a probe.
  void fence_or_probe() noexcept { nothing_posted() ? probe() : fence(); }

  // The last work request of this queue: once it completes, however, all have. Returns its index.
  uint32_t mark_end() noexcept {
    const uint32_t index = posted_ & wire::kWorkIdMask;
    probe();
    return index;
  }
  // The peer's device has taken all messages.
  bool all_acknowledged() const noexcept {
    return train_.empty() && rest_.empty() && in_flight() <= posted_after_messages_;
  }
  // Messages whose outcome is not known, or that have not left yet.
  bool owes_outcomes() const noexcept { return outcomes_.under_way(); }

  // Whether a completion of this one is of it alone, and brings back one outcome and nothing else.
  bool brings_one_outcome(uint32_t index) const noexcept {
    const Posted& first = laden_ring_[laden_done_ & laden_mask_];
    return index == (completed_ & wire::kWorkIdMask) && first.number == completed_ &&
           first.records == 1 && first.buffer == nullptr;
  }
  // A completion of this queue: of this one and of all before it.
  void completed(uint32_t index) noexcept;
  // One that failed. Each that the peer's device has not acknowledged fails, signalled or not, so
  // all before the first were acknowledged.
  void failed(uint32_t index) noexcept;

  // All that is not acknowledged has failed: each record gets its outcome.
  void fail(int error) noexcept;

  bool holding() const noexcept {
    return !train_.empty() || !rest_.empty() || (end_wanted_ && !end_sent_);
  }
  bool idle() const noexcept { return posted_ == completed_ && !holding(); }
  bool nothing_posted() const noexcept { return posted_ == completed_; }
  uint32_t in_flight() const noexcept { return posted_ - completed_; }
  uint32_t credits() const noexcept { return data_credits_; }
  uint32_t unsent() const noexcept { return train_.messages() + (rest_.empty() ? 0 : 1); }
  // Whether a send() that was refused, of a message with so many records, may now succeed.
  bool has_room(uint32_t records) const noexcept;

 private:
  // What comes back when a work request is done.
  struct Posted {
    StagingBuffer* buffer = nullptr;
    uint32_t records = 0;
    uint32_t number = 0;  // of the work request, as posted_

    bool empty() const noexcept { return buffer == nullptr && records == 0; }
  };

  // Work requests beside the quota: credits, the end, probes, and at last the mark of the end.
  static constexpr uint32_t kSpare = 8;

  bool can_post_data() const noexcept;
  // A peer that posts no receives acknowledges nothing, and can still ask for credit frames.
  bool can_post_control() const noexcept { return in_flight() + 1 < queue_size(limits_.quota); }
  bool window_open() const noexcept { return ahead_ < limits_.window; }
  // Whether a message of that length may leave, as far as the window goes.
  bool may_leave(uint32_t length) const noexcept {
    return window_open() || !train_.gathers(length);
  }
  bool wants_signal(const Posted& posted, bool awaited) const noexcept;
  bool take_buffer() noexcept;
  int send_alone(const OutgoingMessage& message) noexcept;
  int send_alone(const Gather& gather) noexcept;
  int send_behind(const OutgoingMessage& message, bool alone, bool more) noexcept;
  void post_message(ibv_sge* sges, int count, bool inlined, Posted posted) noexcept;
  void post_frame(wire::Kind kind, ibv_sge* sges, int count, bool inlined, Posted posted,
                  bool awaited = false) noexcept;
  int send_in_train(const OutgoingMessage& message) noexcept;
  int send_in_train(const Gather& gather) noexcept;
  bool make_room_in_train(uint32_t length, bool copied) noexcept;
  void post_train() noexcept;
  int send_rest(const Gather& gather) noexcept;
  void post_rest() noexcept;
  void count_message(uint32_t length) noexcept {
    STATIC_PROBE(send, link_.fd, length, link_.info.messages_sent);
    ++link_.info.messages_sent;
    link_.info.bytes_sent += length;
  }
  void post_control(wire::Kind kind, bool awaited) noexcept;
  // awaited: somebody waits for its completion.
  void post(ibv_send_wr& wr, Posted posted, bool awaited) noexcept;
  void post_recalls() noexcept;
  uint32_t take_owed(wire::Kind kind) noexcept;
  bool credits_due() const noexcept;
  bool announcements_can_wait() const noexcept;
  bool grants_can_wait() const noexcept;
  void post_lane() noexcept;
  void finish_first(uint32_t n, int error) noexcept;
  void finish(Posted& posted, int error) noexcept;
  // Something more is to be done than to post single messages: who counts on it asks anew.
  void stir() noexcept {
    rest_left_ = 0;
    plain_left_ = 0;
  }
  void see_whether_settled() noexcept;
  int post_as_plain(uint32_t length) noexcept;
  bool has_posted(int error) noexcept;
  bool may_begin_row() const noexcept;
  void begin_row() noexcept;
  bool post_laden(uint32_t length, Posted posted, bool signal) noexcept;
  void make_plain() noexcept;

  Posted& laden_at(uint32_t count) noexcept { return laden_ring_[count & laden_mask_]; }
  void note_laden(Posted posted, uint32_t number) noexcept {
    posted.number = number;
    laden_at(laden_posted_++) = posted;
  }

  // First what each message needs, in two cache lines.
  Link& link_;
  // Of plain messages: how many may be posted at least, as far as the window allows, without a
  // signal and without anything that is owed; the longest; and how far the window may be closed.
  uint32_t plain_left_ = 0;
  uint32_t plain_most_ = 0;
  uint32_t plain_window_ = 0;
  // So many messages may come, at least, before there is anything to be sent.
  uint32_t rest_left_ = 0;
  uint32_t ahead_ = 0;         // what the window counts
  uint32_t credits_ = 0;       // receives posted at the peer that are ours to use
  uint32_t data_credits_ = 0;  // data SENDs that we may post
  uint32_t unsignalled_ = 0;   // posted last, without a signal
  // Of the send queue: a count that goes on for ever; after the last SEND of any message.
  uint32_t posted_ = 0;
  uint32_t posted_after_messages_ = 0;
  ibv_sge plain_sge_{};
  ibv_send_wr plain_{};  // with what all plain ones have in common

  Outcomes& outcomes_;
  Limits limits_{};
  Train train_;
  Rest rest_;
  bool stream_ = false;
  bool joined_ = false;  // the staging pool
  bool open_ = false;
  bool end_wanted_ = false;
  bool end_sent_ = false;
  int post_error_ = 0;
  uint32_t owed_data_ = 0;     // receives that we posted anew and have not told
  uint32_t owed_control_ = 0;  // the same, used up by control frames
  uint32_t owed_grants_ = 0;
  uint32_t announced_ = 0;                   // a count that goes on for ever
  const BulkSender* bulk_sender_ = nullptr;  // of the lane, if there is one
  const BulkReceiver* bulk_receiver_ = nullptr;
  bool lane_due_ = false;
  bool recall_due_ = false;
  bool refund_due_ = false;
  uint32_t refund_ = 0;  // in the frame that is being posted
  ibv_sge lane_address_{};

  uint32_t plain_unsignalled_ = 0;  // plain ones in a row without a signal, at most
  bool plain_signal_ = false;       // the first of the row
  ibv_send_wr send_{};              // with what all SENDs have in common

  // Of the send queue those of which something comes back: data SENDs, so no more than the quota.
  // What is done is empty. Counts that go on for ever.
  std::vector<Posted> laden_ring_;
  uint32_t laden_mask_ = 0;
  uint32_t laden_posted_ = 0;
  uint32_t laden_done_ = 0;
  uint32_t completed_ = 0;  // as posted_
  bool failing_ = false;
  // When the last SEND was posted, but by the short ways, if the window was closed then.
  TimePoint window_closed_{};
  TimePoint asked_{};  // see_whether_settled()
  bool slow_ = false;
};

}  // namespace sio::internal
