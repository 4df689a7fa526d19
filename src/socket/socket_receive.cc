// SPDX-License-Identifier: BSD-2-Clause
//
// What arrives: completions, frames, and how they become events or sio_recv's messages.
#include <climits>
#include <utility>

#include "base/log.h"
#include "provider/status.h"
#include "socket/arrival.h"
#include "socket/socket_guard.h"

namespace sio::internal {

// ------------------------------------------------------------------------------ completions

void Socket::complete(wire::Work kind, uint32_t index, const ibv_wc& wc) noexcept {
  if (datagram_ != nullptr) return complete_datagram(kind, index, wc);
  if (kind == wire::Work::kReceive) {
    if (receiver_ == nullptr || index >= receiver_->region()->slots()) return;
    if (wc.status == IBV_WC_SUCCESS) return received(index, wc);
    receiver_->failed();
  } else if (kind == wire::Work::kSend && sender_ != nullptr) {
    if (wc.status == IBV_WC_SUCCESS) return sender_->completed(index);
    sender_->failed(index);
    if (phase_ == Phase::kEnding && index == drain_marker_) sends_drained_ = true;
  } else if (lane_ != nullptr) {
    if (wc.status == IBV_WC_SUCCESS) return completed_bulk(kind, index, wc);
    kind == wire::Work::kBulkSend ? lane_->send_failed(index) : lane_->receiver.flushed();
  }
  work_failed(wc, kind == wire::Work::kReceive || kind == wire::Work::kBulkReceive);
}

void Socket::completed_bulk(wire::Work kind, uint32_t index, const ibv_wc& wc) noexcept {
  if (kind == wire::Work::kBulkSend) return lane_->sender.completed(index);
  if (rare_.peer_broken) return lane_->receiver.flushed();
  if (wc.opcode != IBV_WC_RECV || (wc.wc_flags & IBV_WC_WITH_IMM) != 0) {
    lane_->receiver.flushed();  // of the message that it may have ended nothing is given out
    return protocol_broken();
  }
  if (!lane_->receiver.completed(wc.byte_len)) protocol_broken();
  if (rare_.read_shut || rare_.closed) receiver_->drop_all();
}

void Socket::protocol_broken() noexcept {
  LOG_INFO("QP %u: the peer broke the protocol", link_.queue_pair->number());
  rare_.peer_broken = true;
  begin_ending(EPROTO, true);
}

void Socket::note_failure(const ibv_wc& wc) noexcept {
  // The first that was not merely flushed is the cause.
  if (link_.info.wc_status == 0 && wc.status != IBV_WC_WR_FLUSH_ERR) {
    link_.info.wc_status = static_cast<uint32_t>(wc.status);
    link_.info.wc_vendor_err = wc.vendor_err;
    link_.info.wc_qp_num = wc.qp_num;
    LOG_INFO("QP %u: %s (vendor %#x)", wc.qp_num, provider::status_name(wc.status), wc.vendor_err);
  }
}

void Socket::work_failed(const ibv_wc& wc, bool receive) noexcept {
  note_failure(wc);
  const int error = provider::errno_of(wc.status, receive);
  if (phase_ == Phase::kConnecting) {
    // If the connect fails the connection manager has the cause, and tells it next. If it does not
    // this is the end of the connection.
    if (early_failure_ == 0 || wc.status != IBV_WC_WR_FLUSH_ERR) early_failure_ = error;
    return;
  }
  begin_ending(error, true);
}

void Socket::received(uint32_t slot, const ibv_wc& wc) noexcept {
  ++frames_seen_;
  if ((phase_ != Phase::kOpen || rare_.peer_broken) && !takes_frames_now(slot, wc)) return;
  sender_->heard();
  if (!accept_frame(slot, wc)) protocol_broken();
  if (rare_.read_shut || rare_.closed) receiver_->drop_all();
}

// Outside of the usual. False: not that one now.
bool Socket::takes_frames_now(uint32_t slot, const ibv_wc& wc) noexcept {
  if (phase_ == Phase::kConnecting) {
    // The peer was told that we stand before we were: keep it until we know who the peer is.
    try {
      early_.push_back({slot, wc});
    } catch (const std::bad_alloc&) {
      receiver_->discard(slot);
      if (early_failure_ == 0) early_failure_ = ENOMEM;  // no connection with a gap
    }
    return false;
  }
  const bool unwanted = phase_ == Phase::kEnding && reconnectable_;
  if (unwanted || rare_.peer_broken) {  // broken: with a gap before it
    receiver_->discard(slot);
    return false;
  }
  if (phase_ == Phase::kAccepting) on_established({});
  return true;
}

// Takes the slot in any case. False: not a frame that the peer may send now.
bool Socket::accept_frame(uint32_t slot, const ibv_wc& wc) noexcept {
  wire::Immediate imm;
  const bool ours = wc.opcode == IBV_WC_RECV && (wc.wc_flags & IBV_WC_WITH_IMM) != 0 &&
                    wire::decode_immediate(wc.imm_data, imm) &&
                    sender_->add_credits(imm.credits, imm.control) && take_grants(imm.grants);
  const bool train = ours && imm.kind == wire::Kind::kTrain;
  if (!train && !(ours && imm.kind == wire::Kind::kMessage)) {
    const bool lane = ours && imm.kind == wire::Kind::kLane && !is_stream();
    const bool placed = !lane || lane_frame(slot, wc.byte_len);
    receiver_->control(slot);
    return lane ? placed : ours && wc.byte_len == 0 && accept_control(imm);
  }
  // On a stream bytes need no frame, and nothing is nothing.
  const bool empty = is_stream() && (train || wc.byte_len == 0);
  if (rare_.end_received || empty || link_.peer_credits == 0) {
    receiver_->control(slot);
    return false;
  }
  --link_.peer_credits;
  if (train) return receiver_->train(slot, wc.byte_len);
  if (may_deliver_at_once()) {
    push_message(channel()->ring(), is_stream() ? receiver_->deliver_bytes(slot, wc.byte_len)
                                                : receiver_->deliver(slot, wc.byte_len));
  } else {
    receiver_->message(slot, wc.byte_len);
  }
  return true;
}

// The same of a frame without payload.
bool Socket::accept_control(const wire::Immediate& imm) noexcept {
  switch (imm.kind) {
    case wire::Kind::kCredit:
      return true;
    case wire::Kind::kEnd: {
      const bool again = rare_.end_received;  // it comes once
      rare_.end_received = true;
      return !again;
    }
    case wire::Kind::kRecall:
      return sender_->recalled();
    case wire::Kind::kRefund:
      return receiver_->receives().refunded(imm.refund);
    default:
      return false;
  }
}

// A lone message at rest, as most are where latency counts: there is room for its event, and
// nothing that must be told before it.
bool Socket::may_deliver_at_once() const noexcept {
  return deliver_ && receiver_->empty() && !rare_.connect_waits && !rare_.read_shut &&
         !rare_.closed && !channel()->ring().full();
}

// Where there is nothing else to be done or to be told: into the ring. What is not quite so is left
// to complete().
bool Socket::complete_at_rest(const ibv_wc& wc) noexcept {
  if (!is_arrival(wc)) return complete_send_at_rest(wc, nullptr);
  return may_arrive_at_rest() && complete_nearly_at_rest(wc, nullptr);
}

// The same of a SEND: nobody has waited for it but to see the queue empty, or who is told of an
// outcome. For `place` it must be one, and nothing else.
[[gnu::noinline]] bool Socket::complete_send_at_rest(const ibv_wc& wc,
                                                     event_data_t* place) noexcept {
  const wire::WorkId id = wire::decode_work_id(wc.wr_id);
  if (id.kind != wire::Work::kSend || wc.status != IBV_WC_SUCCESS) return false;
  if (rare_.any_for_sending() || lane_ != nullptr || sender_->holding() || !outcomes_.all_told()) {
    return false;
  }
  if (place == nullptr) {
    sender_->completed(id.index);
    channel()->changed();
    if (!emit_outcomes(channel()->ring())) channel()->offer(this);
    return true;
  }
  const SendRecord* const next = outcomes_.next_to_tell();
  if (next == nullptr || !sender_->brings_one_outcome(id.index)) return false;
  sender_->completed(id.index);
  describe(*place, *next);
  outcomes_.told();
  outcomes_.taken();
  return true;
}

// As few are: nothing has to be done before their event, but for the sender, and it may have to go
// into the ring.
[[gnu::noinline]] bool Socket::complete_nearly_at_rest(const ibv_wc& wc,
                                                       event_data_t* place) noexcept {
  if (is_stream() && wc.byte_len == 0) return false;
  EventRing& ring = channel()->ring();
  if (place == nullptr && ring.full()) return false;
  if (!sender_->may_hear_at_rest(wc.imm_data)) return false;
  sender_->hear_at_rest();
  ++frames_seen_;
  const uint32_t slot = wire::decode_work_id(wc.wr_id).index;
  const IncomingMessage message = is_stream() ? receiver_->deliver_bytes(slot, wc.byte_len)
                                              : receiver_->deliver(slot, wc.byte_len);
  if (place != nullptr) {
    describe(*place, message);
  } else {
    push_message(ring, message);
  }
  return true;
}

// Mostly so in a dialogue: what came was delivered at once, and nobody is owed an outcome.
bool Socket::is_told() const noexcept {
  return phase_ == Phase::kOpen && receiver_->empty() && outcomes_.all_told() &&
         !rare_.want_writable && !rare_.send_blocked && !rare_.connect_waits &&
         !rare_.end_received && !rare_.closed;
}

// After a batch of completions: answer, go on, tell.
void Socket::settle() noexcept {
  if (datagram_ != nullptr) return settle_datagram();
  if (phase_ == Phase::kOpen || phase_ == Phase::kAccepting) {
    repost(false);
    send_on(false);
  }
  if (!receives_.empty()) serve_receives();
  channel()->changed();
  if (!is_told()) channel()->offer(this);
  if (closing_) advance_close();
  if (phase_ == Phase::kEnding && drained()) end();
}

void Socket::before_sleep() noexcept {
  if (phase_ != Phase::kOpen && phase_ != Phase::kAccepting) return channel()->hub().unhold(this);
  repost(false);
  send_on(true);
}

// After what may have ended the connection.
void Socket::send_on(bool force) noexcept {
  if (phase_ != Phase::kOpen && phase_ != Phase::kAccepting) return;
  sender_->pump(force);
  after_sending();
}

void Socket::repost(bool force) noexcept {
  advance_bulk();
  if (phase_ == Phase::kEnding || phase_ == Phase::kEnded ||
      !receiver_->receives().has_returned(force))
    return;
  Receives::Due due;
  if (const int error = receiver_->receives().post_returned(force, due)) {
    return begin_ending(-error, true);
  }
  sender_->owe_credits(due.data, due.control);
  if (due.recall) sender_->owe_recall();
}

void Socket::run() noexcept {
  SocketGuard guard = SocketGuard::of(this, generation());
  if (!guard) return;
  if (finishing_) return finish_close();  // the control thread could not be told
  if (datagram_ != nullptr) return repost_datagram();
  if (phase_ != Phase::kOpen && phase_ != Phase::kAccepting) return;
  repost(false);
  send_on(false);
}

// ----------------------------------------------------------------------------------- events

void Socket::take(const IncomingMessage& message) noexcept {
  if (receiver_->take(message)) note();
}

// In this order: what comes after must not overtake.
bool Socket::emit(EventRing& ring) noexcept {
  if (datagram_ != nullptr) return emit_datagram(ring);
  // A connect that failed is the end of what was sent before.
  const bool all = emit_accepts(ring) && (connect_error_ == 0 || emit_outcomes(ring)) &&
                   emit_connect(ring) && emit_outcomes(ring) && emit_messages(ring) &&
                   emit_ends(ring);
  if (all && rare_.closed && phase_ == Phase::kEnded) finish_close_later();
  return all;
}

bool Socket::emit_accepts(EventRing& ring) noexcept {
  while (backlog_.owes_event()) {
    if (ring.full()) return false;
    push(ring, EC_ACCEPT, 0);
    backlog_.event_given();
  }
  return true;
}

bool Socket::emit_connect(EventRing& ring) noexcept {
  if (!rare_.connect_waits || rare_.closed || phase_ == Phase::kResolving ||
      phase_ == Phase::kConnecting || reconnectable_) {
    return true;
  }
  if (ring.full()) return false;
  push(ring, EC_CONNECT, connect_error_);
  rare_.connect_waits = false;
  return true;
}

bool Socket::emit_outcomes(EventRing& ring) noexcept {
  while (const SendRecord* done = outcomes_.untold()) {
    if (ring.full()) return false;
    describe(ring.push({this, EC_SENT, 0, 0}), *done);
    outcomes_.told();
  }
  if (sender_ != nullptr && rare_.want_writable && !rare_.closed && phase_ == Phase::kOpen &&
      has_room_for(wanted_)) {
    if (ring.full()) return false;
    push(ring, EC_WRITABLE, 0);
    end_stall();
  }
  return true;
}

bool Socket::emit_messages(EventRing& ring) noexcept {
  if (receiver_ == nullptr || rare_.closed) return true;
  IncomingMessage message;
  for (;;) {
    while (deliver_ && receiver_->in_train() && !ring.full()) {
      receiver_->take_of_train(ring.room(),
                               [&](const IncomingMessage& one) { push_message(ring, one); });
    }
    if (!receiver_->peek(message)) break;
    if (!deliver_ && readable_told_) return true;
    if (ring.full()) return false;
    if (!deliver_) {
      push(ring, EC_READABLE, 0);
      readable_told_ = true;
      return true;
    }
    take(message);
    push_message(ring, message);
  }
  if (receiver_->broken() && phase_ == Phase::kOpen) begin_ending(EPROTO, true);
  return true;
}

bool Socket::emit_ends(EventRing& ring) noexcept {
  if (rare_.closed || (!rare_.end_received && phase_ != Phase::kEnded)) return true;
  const bool dry = receiver_ == nullptr || !receiver_->has_next();
  if (at_end() && dry && !end_told_) {
    if (ring.full()) return false;
    push(ring, EC_EOF, 0);
    end_told_ = true;
  }
  // Who waits to send learns of the end from sio_send where EC_HUP does not come: when it was in
  // order, or as long as messages are before it that nobody takes.
  if (phase_ == Phase::kEnded && rare_.want_writable && (failure_ == 0 || !dry)) {
    if (ring.full()) return false;
    push(ring, EC_WRITABLE, 0);
    end_stall();
  }
  if (phase_ == Phase::kEnded && failure_ != 0 && dry && !hup_told_) {
    if (ring.full()) return false;
    push(ring, EC_HUP, failure_);
    hup_told_ = true;
    end_stall();
  }
  return true;
}

void Socket::taken(const EventNote& note) noexcept {
  if (note.kind == EC_ACCEPT) backlog_.event_taken();
  if (note.kind != EC_SENT) return;
  const bool was_full = !outcomes_.may_have_room(rare_.want_writable ? wanted_.records : 1);
  outcomes_.taken();
  if (rare_.closed && phase_ == Phase::kEnded) return finish_close_later();
  if (rare_.send_blocked) channel()->changed();
  if (!was_full) return;
  channel()->changed();
  channel()->offer(this);  // there is room for another
}

void Socket::channel_closed() noexcept {
  if (rare_.closed && phase_ == Phase::kEnded) finish_close_later();
}

// ------------------------------------------------------------------------------------- recv

bool Socket::readable() const noexcept {
  if (datagram_ != nullptr) {
    return datagram_->receiver.has_next() || (rare_.connect_waits && !datagram_->connecting) ||
           phase_ == Phase::kEnded;
  }
  if (phase_ == Phase::kListening) return !backlog_.empty();
  if (rare_.connect_waits && phase_ != Phase::kResolving && phase_ != Phase::kConnecting)
    return true;
  if (phase_ == Phase::kEnded || at_end()) return true;
  return receiver_ != nullptr && receiver_->has_next();
}

// The next message or the end, as sio_recv returns it; -EAGAIN: there is none yet.
int Socket::take_next(void** buf, size_t size, bool peek) noexcept {
  if (is_datagram()) return take_datagram(buf, size, peek);
  if (phase_ == Phase::kFresh || phase_ == Phase::kListening) return -ENOTCONN;
  IncomingMessage message;
  if (receiver_ != nullptr && receiver_->peek(message)) {
    if (message.length > size && !is_stream()) return -EMSGSIZE;
    const auto length = static_cast<uint32_t>(std::min<size_t>(message.length, size));
    *buf = message.data;
    if (peek || (is_stream() && length == 0)) return static_cast<int>(length);
    is_stream() ? receiver_->take_bytes(length) : take(message);
    readable_told_ = readable_told_ && receiver_->has_next();
    // The end waited for this one to be taken.
    if (!receiver_->has_next() && (rare_.end_received || phase_ == Phase::kEnded)) {
      channel()->offer(this);
    }
    return static_cast<int>(length);
  }
  readable_told_ = false;
  if (receiver_ != nullptr && receiver_->broken() && phase_ == Phase::kOpen) {
    begin_ending(EPROTO, true);
  }
  if (at_end() || rare_.read_shut) {
    *buf = nullptr;
    return 0;
  }
  if (phase_ == Phase::kEnded) return failure_ != 0 ? -failure_ : -ENOTCONN;
  return -EAGAIN;
}

int Socket::receive(SocketGuard& guard, void** buf, size_t size, int flags) {
  Socket& socket = *guard;
  if (socket.deliver_) return -EINVAL;
  socket.reopen_datagram();
  const bool nonblock = socket.nonblock_ || (flags & MSG_DONTWAIT) != 0;
  bool looked = false;
  socket.connect_is_known();
  for (;;) {
    const int next = socket.take_next(buf, size, (flags & MSG_PEEK) != 0);
    if (next != -EAGAIN) return next;
    if (!looked) {
      looked = true;
      guard.channel()->progress();
    } else if (nonblock) {
      // The program's channel is armed when the program finds no event there.
      if (!guard.channel()->hidden() || guard.channel()->saw_empty()) return -EAGAIN;
    } else {
      const int result = guard.wait(kNever, [&] {
        return (socket.receiver_ != nullptr && socket.receiver_->has_next()) || socket.at_end() ||
               (socket.datagram_ != nullptr && socket.datagram_->receiver.has_next()) ||
               socket.rare_.read_shut || socket.phase_ == Phase::kEnded ||
               socket.phase_ == Phase::kFresh;
      });
      if (result != 0) return result;
    }
  }
}

// A message is in one piece. Of a stream as many slots as there are entries for, of those that have
// come; MSG_PEEK shows the first.
int Socket::receive_pieces(SocketGuard& guard, msghdr& message, int flags) {
  Socket& socket = *guard;
  const size_t most = socket.is_stream() && (flags & MSG_PEEK) == 0 ? message.msg_iovlen : 1;
  void* data = nullptr;
  int result = receive(guard, &data, SIZE_MAX, flags);
  if (result < 0) return result;
  size_t count = 0;
  int total = 0;
  while (result >= 0 && data != nullptr) {
    message.msg_iov[count++] = {data, static_cast<size_t>(result)};
    total += result;
    if (count == most) break;
    result = socket.take_next(&data, static_cast<size_t>(INT_MAX - total), false);
  }
  message.msg_iovlen = count;
  auto* const name = static_cast<sockaddr*>(message.msg_name);
  if (name != nullptr) socket.sender_name(name, &message.msg_namelen);
  message.msg_controllen = 0;
  message.msg_flags = socket.is_stream() ? 0 : MSG_EOR;
  return total;
}

}  // namespace sio::internal
