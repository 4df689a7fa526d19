// SPDX-License-Identifier: BSD-2-Clause
#include "socket/sender.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "socket/bulk_receiver.h"
#include "socket/bulk_sender.h"

namespace sio::internal {
namespace {

using wire::kControlSlots;
using wire::Kind;

constexpr uint32_t kMostUnsignalled = 16;
constexpr uint32_t kMostUnsignalledStaged = StagingPool::kMostPerConnection / 2;
// With plain ones nothing comes back. Mostly one of them has something else about it before:
// credits are given for sixteen at once (a quarter of the usual slots).
constexpr uint32_t kMostUnsignalledPlain = 24;

// Messages that follow one another more closely are a burst.
constexpr microseconds kBurstGap{20};

}  // namespace

uint32_t Sender::queue_size(uint32_t quota) noexcept { return quota + kSpare; }

void Sender::prepare(uint32_t quota, bool stream) {
  stream_ = stream;
  link_.staging->join();
  joined_ = true;
  laden_ring_.resize(std::bit_ceil(quota));
  laden_mask_ = static_cast<uint32_t>(laden_ring_.size()) - 1;
  send_.opcode = plain_.opcode = IBV_WR_SEND_WITH_IMM;
  plain_.sg_list = &plain_sge_;
  plain_.num_sge = 1;
  plain_.send_flags = IBV_SEND_SOLICITED | IBV_SEND_INLINE;
  plain_.imm_data = wire::encode_immediate({Kind::kMessage, 0});
  // Until the peer has said more, any peer takes this much.
  train_.set_limits(wire::kMinSlotSize, link_.queue_pair->max_send_sge(), !stream_);
}

Sender::~Sender() {
  if (!joined_) return;
  fail(ECONNABORTED);
  link_.staging->leave();
}

void Sender::open(const Limits& limits) noexcept {
  limits_ = limits;
  data_credits_ = limits.peer_slots;
  credits_ = data_credits_ + kControlSlots;
  train_.set_limits(limits.peer_slot_size, link_.queue_pair->max_send_sge(), !stream_);
  open_ = true;
  set_copy_max(limits.copy_max);
  plain_window_ = limits.window - std::min(limits.window, 2u);
  plain_unsignalled_ = std::min(kMostUnsignalledPlain, limits.quota / 2) - 1;
}

// What control frames have used up is what lacks beside the data.
bool Sender::add_credits(uint32_t data, uint32_t control) noexcept {
  if (data > limits_.most_credits - data_credits_) return false;
  if (control > data_credits_ + kControlSlots - credits_) return false;
  data_credits_ += data;
  credits_ += data + control;
  return true;
}

bool Sender::can_post_data() const noexcept {
  return open_ && data_credits_ > 0 && credits_ > 2 && in_flight() < limits_.quota &&
         post_error_ == 0;
}

bool Sender::has_room(uint32_t records) const noexcept {
  return can_post_data() && rest_.empty() && outcomes_.may_have_room(records) &&
         link_.staging->may_take(link_.buffers_held);
}

// --------------------------------------------------------------------------------- messages

bool Sender::window_may_be_open(size_t length) const noexcept {
  const bool may_go = fits(length) ? may_leave(static_cast<uint32_t>(length)) : window_open();
  return !may_go && train_.empty() && Clock::now() - window_closed_ > kBurstGap;
}

// Part of two functions that are called for each message.
[[gnu::always_inline]] inline bool Sender::make_room_in_train(uint32_t length,
                                                              bool copied) noexcept {
  if (!train_.has_room(length, copied)) {
    if (!can_post_data()) return false;
    post_train();
  }
  return !train_.empty() || take_buffer();
}

// With all that it calls in one: each call between here and the device would move a dozen
// registers.
[[gnu::flatten]] int Sender::send(const OutgoingMessage& message, bool alone, bool more) noexcept {
  if (message.record != nullptr && !outcomes_.make_room()) return -EAGAIN;
  // Mostly so, but in a burst.
  const bool now = alone || (!more && may_leave(message.length));
  if (now && train_.empty() && can_post_data()) return send_alone(message);
  return send_behind(message, alone, more);
}

// When something goes before it, or more is to come behind it.
[[gnu::noinline]] int Sender::send_behind(const OutgoingMessage& message, bool alone,
                                          bool more) noexcept {
  // What every peer takes; how much this one does is not known yet.
  if (!open_ && message.length > wire::kMinSlotSize) return -EAGAIN;
  if (alone) {
    if (!train_.empty() && can_post_data()) post_train();
    return train_.empty() && can_post_data() ? send_alone(message) : -EAGAIN;
  }
  const int result = send_in_train(message);
  if (!more && may_leave(message.length) && can_post_data() && result == 0) post_train();
  return result;
}

int Sender::send_alone(const OutgoingMessage& message) noexcept {
  ibv_sge sge{reinterpret_cast<uintptr_t>(message.data), message.length, message.lkey};
  Posted posted{nullptr, message.record != nullptr ? 1u : 0u};
  const bool inlined = message.length <= link_.queue_pair->max_inline();
  if (!message.is_lent() && !inlined) {
    posted.buffer = link_.staging->take(link_.buffers_held);
    if (posted.buffer == nullptr) return -EAGAIN;
    std::memcpy(posted.buffer->data, message.data, message.length);
    sge.addr = reinterpret_cast<uintptr_t>(posted.buffer->data);
    sge.lkey = posted.buffer->lkey;
  }
  if (message.record != nullptr) outcomes_.add(*message.record);
  post_message(&sge, message.length > 0 ? 1 : 0, inlined, posted);
  count_message(message.length);
  return 0;
}

void Sender::post_message(ibv_sge* sges, int count, bool inlined, Posted posted) noexcept {
  --data_credits_;
  ++link_.info.sends_posted;
  post_frame(Kind::kMessage, sges, count, inlined, posted);
  posted_after_messages_ = 0;
}

int Sender::send_in_train(const OutgoingMessage& message) noexcept {
  const bool copied = !message.is_lent() || message.length <= kCopyInTrain;
  if (!make_room_in_train(message.length, copied)) return -EAGAIN;
  if (copied) {
    train_.add_copy(message.data, message.length);
  } else {
    train_.add_gathered(message.data, message.length, message.lkey);
  }
  if (message.record != nullptr) {
    outcomes_.add(*message.record);
    train_.add_record();
  }
  count_message(message.length);
  return 0;
}

// Small ones, and those of which nothing is lent, are copied and go as others do. What is gathered
// where it lies is a SEND of its own, window or not.
int Sender::send(const Gather& gather, bool alone, bool more) noexcept {
  if (!outcomes_.make_room(gather.lent)) return -EAGAIN;
  if (!open_ && gather.length > wire::kMinSlotSize) return -EAGAIN;
  const bool at_once = train_.empty() && can_post_data() && !more && may_leave(gather.length);
  if (gather.is_copied() && !alone && !at_once) {
    const int result = send_in_train(gather);
    if (!more && may_leave(gather.length) && can_post_data() && result == 0) post_train();
    return result;
  }
  if (!train_.empty() && can_post_data()) post_train();
  return train_.empty() && can_post_data() ? send_alone(gather) : -EAGAIN;
}

int Sender::send_in_train(const Gather& gather) noexcept {
  if (!make_room_in_train(gather.length, true)) return -EAGAIN;
  train_.add_filled(gather.length, [&gather](char* to) { gather.copy_to(to); });
  for (uint32_t i = 0; i < gather.lent; ++i) {
    outcomes_.add(gather.records[i]);
    train_.add_record();
  }
  count_message(gather.length);
  return 0;
}

int Sender::send_alone(const Gather& gather) noexcept {
  const auto most = std::min(link_.queue_pair->max_send_sge(), Gather::kMostPieces);
  const bool inlined = gather.length <= link_.queue_pair->max_inline() && gather.count <= most;
  const bool copied = !inlined && gather.is_copied();
  if (!copied && gather.count > most) return -EMSGSIZE;
  Posted posted{nullptr, gather.lent};
  if (copied || (!inlined && gather.has_copied_pieces())) {
    posted.buffer = link_.staging->take(link_.buffers_held);
    if (posted.buffer == nullptr) return -EAGAIN;
  }
  ibv_sge sges[Gather::kMostPieces];
  int count = 0;
  char* to = posted.buffer != nullptr ? posted.buffer->data : nullptr;
  if (copied) {
    gather.copy_to(to);
    sges[count++] = {reinterpret_cast<uintptr_t>(to), gather.length, posted.buffer->lkey};
  }
  for (uint32_t i = 0; !copied && i < gather.count; ++i) {
    const Gather::Piece& piece = gather.pieces[i];
    ibv_sge& sge = sges[count++];
    sge = {reinterpret_cast<uintptr_t>(piece.data), piece.length, piece.lkey};
    if (inlined || piece.lent) continue;
    std::memcpy(to, piece.data, piece.length);
    sge.addr = reinterpret_cast<uintptr_t>(to);
    sge.lkey = posted.buffer->lkey;
    to += piece.length;
  }
  for (uint32_t i = 0; i < gather.lent; ++i) outcomes_.add(gather.records[i]);
  post_message(sges, count, inlined, posted);
  count_message(gather.length);
  return 0;
}

// --------------------------------------------------------------------------------- streams

int Sender::stream(const OutgoingMessage& message, bool alone, bool more) noexcept {
  if (!rest_.empty()) return -EAGAIN;
  if (fits(message.length)) return send(message, alone, more);
  return send_rest(Gather::of(message));
}

int Sender::stream(const Gather& gather, bool alone, bool more) noexcept {
  if (!rest_.empty()) return -EAGAIN;
  if (fits(gather.length)) {
    const int result = send(gather, alone, more);
    if (result != -EMSGSIZE) return result;
  }
  return send_rest(gather);
}

int Sender::send_rest(const Gather& gather) noexcept {
  if (!outcomes_.make_room(gather.lent)) return -EAGAIN;
  if (!train_.empty() && can_post_data()) post_train();
  if (!train_.empty() || !can_post_data()) return -EAGAIN;
  StagingBuffer* buffer = nullptr;
  if (gather.has_copied_pieces()) {
    buffer = link_.staging->take(link_.buffers_held);
    if (buffer == nullptr) return -EAGAIN;
  }
  for (uint32_t i = 0; i < gather.lent; ++i) outcomes_.add(gather.records[i]);
  rest_.begin(gather, buffer);
  stir();
  count_message(gather.length);
  post_rest();
  return 0;
}

void Sender::post_rest() noexcept {
  const auto most = std::min(link_.queue_pair->max_send_sge(), Gather::kMostPieces);
  while (!rest_.empty() && can_post_data()) {
    ibv_sge sges[Gather::kMostPieces];
    const Rest::Load load = rest_.take(limits_.peer_slot_size, most, sges);
    Posted posted;
    if (rest_.empty()) {
      posted.records = rest_.records();
      posted.buffer = rest_.depart();
    }
    post_message(sges, load.count, load.bytes <= link_.queue_pair->max_inline(), posted);
  }
}

// ----------------------------------------------------------------------------- large messages

int Sender::announce(uint32_t length, bool more) noexcept {
  if (!make_room_in_train(0, true)) return -EAGAIN;
  train_.add_announcement(length);
  if (!more && window_open() && can_post_data() && !announcements_can_wait()) post_train();
  return 0;
}

bool Sender::take_buffer() noexcept {
  StagingBuffer* buffer = link_.staging->take(link_.buffers_held);
  if (buffer == nullptr) return false;
  train_.begin(buffer);
  stir();
  return true;
}

void Sender::post_train() noexcept {
  const Train::Load load = train_.load();
  const uint32_t records = train_.records();
  --data_credits_;
  ++link_.info.sends_posted;
  if (!load.lone) ++link_.info.trains_posted;
  announced_ += train_.announced();
  // The gather list stays as it is until the next message comes.
  post_frame(load.lone ? Kind::kMessage : Kind::kTrain, load.sges, load.count,
             load.bytes <= link_.queue_pair->max_inline(), {train_.depart(), records});
  posted_after_messages_ = 0;
}

// ------------------------------------------------------------------------------- the queue

bool Sender::may_hear_at_rest(uint32_t imm_data) noexcept {
  const bool rests = !holding() && !lane_due_ && !recall_due_ && !refund_due_ &&
                     owed_grants_ == 0 && owed_control_ < kControlSlots / 2 &&
                     owed_data_ + 1 < link_.peer_credits;
  uint32_t data;
  uint32_t control;
  if (!rests || !wire::decode_message(imm_data, data, control) || !add_credits(data, control)) {
    return false;
  }
  rest_left_ = link_.peer_credits - owed_data_ - 1;  // then credits are due
  return true;
}

void Sender::pump(bool force) noexcept {
  if (!open_ || post_error_ != 0) return;
  const bool waits = !window_open() && train_.may_gather();
  const bool leaves = force || (!waits && !announcements_can_wait());
  if (leaves && !train_.empty() && can_post_data()) post_train();
  if (!rest_.empty()) post_rest();
  if (end_wanted_ && !end_sent_ && train_.empty() && rest_.empty() && credits_ > 0 &&
      can_post_control()) {
    end_sent_ = true;
    post_control(Kind::kEnd, true);
  }
  if (lane_due_ && credits_ > 2 && can_post_control()) post_lane();
  if (recall_due_ || refund_due_) post_recalls();
  const bool grants_due =
      owed_grants_ > 0 && !lane_due_ && credits_ > 2 && (force || !grants_can_wait());
  const uint32_t for_the_end = end_sent_ ? 0 : 1;
  if ((grants_due || credits_due()) && credits_ > for_the_end && can_post_control()) {
    ++link_.info.credit_frames;
    post_control(Kind::kCredit, false);
  }
}

// There is nothing in the train but announcements, and enough of what was announced before is under
// way that the lane will not be idle.
bool Sender::announcements_can_wait() const noexcept {
  const uint32_t waiting = train_.announced();
  if (waiting == 0 || waiting != train_.messages() || end_wanted_) return false;
  return bulk_sender_->stays_busy(waiting);
}

// The same of grants.
bool Sender::grants_can_wait() const noexcept { return bulk_receiver_->stays_busy(owed_grants_); }

// A frame of its own, when half of the peer's credits would otherwise be withheld. Those that
// control frames used up count apart: else two idle ends would thank each other for ever.
bool Sender::credits_due() const noexcept {
  const bool data = owed_data_ > 0 && owed_data_ >= link_.peer_credits;
  return data || owed_control_ >= kControlSlots / 2;
}

// The immediate data of a frame, with all that is owed to the peer. Grants come after the lane.
uint32_t Sender::take_owed(Kind kind) noexcept {
  const uint32_t refund = std::exchange(refund_, 0);
  const uint32_t data = kind == Kind::kRefund ? 0 : std::exchange(owed_data_, 0);
  const uint32_t control = std::min(owed_control_, wire::kMaxControl);
  const uint32_t grants = lane_due_ ? 0 : std::min(owed_grants_, wire::kMaxGrants);
  owed_control_ -= control;
  owed_grants_ -= grants;
  link_.peer_credits += data;
  rest_left_ += rest_left_ > 0 ? 2 * data : 0;  // as may_hear_at_rest() counts
  link_.credits_given += data + control;
  return wire::encode_immediate({kind, static_cast<uint16_t>(data), static_cast<uint16_t>(grants),
                                 static_cast<uint16_t>(control), static_cast<uint16_t>(refund)});
}

void Sender::post_lane() noexcept {
  const bool inlined = link_.queue_pair->max_inline() >= lane_address_.length;
  post_frame(Kind::kLane, &lane_address_, 1, inlined, {});
  lane_due_ = false;
}

// What is kept is enough for the next message, which asks for more. As for a lane frame two are
// left, after what is refunded.
void Sender::post_recalls() noexcept {
  if (recall_due_ && credits_ > 2 && can_post_control()) {
    recall_due_ = false;
    link_.recalled = true;
    ++link_.info.credit_frames;
    post_control(Kind::kRecall, false);
  }
  const uint32_t refund = data_credits_ - std::min(data_credits_, wire::kMinSlots);
  if (refund_due_ && credits_ > 2 + refund && can_post_control()) {
    refund_due_ = false;
    refund_ = refund;
    data_credits_ -= refund;
    credits_ -= refund;
    ++link_.info.credit_frames;
    post_control(Kind::kRefund, false);
  }
}

void Sender::post_control(Kind kind, bool awaited) noexcept {
  post_frame(kind, nullptr, 0, false, {}, awaited);
}

void Sender::post_frame(Kind kind, ibv_sge* sges, int count, bool inlined, Posted posted,
                        bool awaited) noexcept {
  send_.sg_list = sges;
  send_.num_sge = count;
  send_.send_flags = IBV_SEND_SOLICITED;
  if (inlined && count > 0) send_.send_flags |= IBV_SEND_INLINE;
  send_.imm_data = take_owed(kind);
  --credits_;
  post(send_, posted, awaited);
}

void Sender::probe() noexcept {
  ibv_send_wr wr{};
  wr.opcode = IBV_WR_RDMA_WRITE;
  post(wr, {}, true);
}

void Sender::fence() noexcept {
  if (unsignalled_ > 0 && can_post_control()) probe();
}

// A completion costs the device and us as much as a frame. So a connection on which each SEND is
// answered asks for few: they only empty the queue. When the window is about to close, or a buffer
// is to come back, one in less than a window: so the next message after a rest finds it open. And
// before the connection has no buffers left.
bool Sender::wants_signal(const Posted& posted, bool awaited) const noexcept {
  if (awaited || posted.records > 0) return true;
  uint32_t most = std::max(1u, limits_.window - 1);
  if (posted.buffer != nullptr) {
    most = std::min(most, kMostUnsignalledStaged);
  } else if (ahead_ < most) {
    most = std::min(kMostUnsignalled, limits_.quota / 2);
  }
  return unsignalled_ + 1 >= most;
}

// Fills in what all work requests have in common.
void Sender::post(ibv_send_wr& wr, Posted posted, bool awaited) noexcept {
  ++ahead_;
  plain_left_ = 0;
  const bool signal = wants_signal(posted, awaited);
  wr.wr_id = link_.work_id(wire::Work::kSend, posted_);
  if (signal) wr.send_flags |= IBV_SEND_SIGNALED;
  if (!posted.empty()) note_laden(posted, posted_);
  ++posted_;
  ++posted_after_messages_;
  unsignalled_ = signal ? 0 : unsignalled_ + 1;
  link_.hub->posted();
  ibv_send_wr* bad;
  const int error = link_.queue_pair->post_send_directly(&wr, &bad);
  if (error != 0 && post_error_ == 0) post_error_ = std::abs(error);
  if (!window_open()) window_closed_ = Clock::now();
}

// The queue is far shorter than the index counts, so the distance says which one it is.
void Sender::completed(uint32_t index) noexcept {
  const uint32_t distance = (index - completed_) & wire::kWorkIdMask;
  if (distance < in_flight()) finish_first(distance + 1, 0);
}

void Sender::failed(uint32_t index) noexcept {
  const uint32_t distance = (index - completed_) & wire::kWorkIdMask;
  if (std::exchange(failing_, true)) return;
  if (distance < in_flight()) finish_first(distance, 0);
}

void Sender::finish_first(uint32_t n, int error) noexcept {
  link_.hub->completed(n);
  const uint32_t first = std::exchange(completed_, completed_ + n);
  // Mostly nothing comes back of any of them.
  while (laden_done_ != laden_posted_ && laden_at(laden_done_).number - first < n) {
    finish(laden_at(laden_done_++), error);
  }
  ahead_ = std::min(ahead_, in_flight());
}

void Sender::finish(Posted& posted, int error) noexcept {
  const Posted done = std::exchange(posted, {});
  if (done.buffer != nullptr) link_.staging->give_back(done.buffer, link_.buffers_held);
  if (done.records > 0) outcomes_.finish(done.records, error);
}

void Sender::fail(int error) noexcept {
  finish_first(in_flight(), error);
  unsignalled_ = 0;
  stir();
  const uint32_t records = train_.records() + rest_.records();
  if (!train_.empty()) link_.staging->give_back(train_.depart(), link_.buffers_held);
  if (StagingBuffer* const buffer = rest_.depart()) {
    link_.staging->give_back(buffer, link_.buffers_held);
  }
  outcomes_.finish(records, error);
}

}  // namespace sio::internal
