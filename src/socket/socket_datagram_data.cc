// SPDX-License-Identifier: BSD-2-Clause
//
// What a datagram socket sends and receives.
#include <algorithm>

#include "base/log.h"
#include "provider/status.h"
#include "socket/socket_guard.h"

namespace sio::internal {

// ----------------------------------------------------------------------------------- completions

void Socket::complete_datagram(wire::Work kind, uint32_t index, const ibv_wc& wc) noexcept {
  Datagram& it = *datagram_;
  if (kind == wire::Work::kReceive) {
    if (index >= it.receiver.region()->slots()) return;
    if (wc.status == IBV_WC_SUCCESS) {
      const InetAddress moved = it.receiver.received(index, wc);
      if (moved.is_set() && phase_ == Phase::kOpen) it.peers.moved(moved);
      if (rare_.closed) it.receiver.drop_all();
      return;
    }
    it.receiver.flushed(index);
  } else if (kind == wire::Work::kSend) {
    const bool sent = wc.status == IBV_WC_SUCCESS;
    it.sender.completed(index, sent ? 0 : provider::errno_of(wc.status, false));
    if (sent) return;
  } else {
    return;
  }
  datagram_failed(wc, kind == wire::Work::kReceive);
}

void Socket::settle_datagram() noexcept {
  if (phase_ == Phase::kOpen && datagram_->failing && drained()) renew_datagram();
  if (phase_ == Phase::kOpen) {
    repost_datagram();
    pump_waiting();
  }
  if (!receives_.empty()) serve_receives();
  channel()->changed();
  channel()->offer(this);
  if (closing_) advance_closing_datagram();
  if (phase_ == Phase::kEnding && drained()) end();
}

void Socket::repost_datagram() noexcept {
  if (phase_ != Phase::kOpen || datagram_->failing) return;
  if (const int error = datagram_->receiver.post_returned()) begin_ending(-error, false);
}

// ---------------------------------------------------------------------------------------- sending

// Where a message goes that has this address, or none. 0 or -errno.
int Socket::datagram_address(const InetAddress& to, InetAddress& whole) const noexcept {
  const bool has_peer = datagram_ != nullptr && datagram_->peer.is_set();
  if (to.is_set() && has_peer) return -EISCONN;
  if (!to.is_set() && !has_peer) return -EDESTADDRREQ;
  whole = to.is_set() ? to : datagram_->peer;
  if (whole.family() != domain_) return -EAFNOSUPPORT;
  return whole.port() == 0 ? -EINVAL : 0;
}

int Socket::send_datagram(SocketGuard& guard, const InetAddress& to, std::span<const iovec> pieces,
                          int flags, Completion* completion) {
  Socket& socket = *guard;
  if (socket.phase_ == Phase::kEnding || socket.phase_ == Phase::kEnded) return socket.take_error();
  InetAddress whole;
  if (const int error = socket.datagram_address(to, whole)) return error;
  if (const int error = socket.ensure_datagram(whole)) return error;
  Gather gather;
  size_t size = 0;
  size_t elsewhere = 0;
  int result = 0;
  for (auto piece = pieces.begin(); piece != pieces.end() && result == 0; ++piece) {
    // An empty one is nothing to send, but may be a message to be released.
    if (piece->iov_len == 0 && (flags & SIO_RELEASE) == 0) continue;
    const uint32_t most = socket.datagram_->most_to(whole);
    if (piece->iov_len > most - size || gather.count == Gather::kMostPieces ||
        gather.lent == Gather::kMostPieces) {
      result = -EMSGSIZE;
      break;
    }
    size += piece->iov_len;
    result = socket.add_piece(gather, *piece, flags, elsewhere);
  }
  SendRecord copied{.buf = nullptr, .len = size, .completion = completion, .silent = true};
  if (completion != nullptr && gather.lent > 0) {
    gather.records[0].silent = true;
    gather.records[gather.lent - 1].completion = completion;  // when all are the program's again
  }
  const SendRecord* const record = completion != nullptr && gather.lent == 0 ? &copied : nullptr;
  const Wanted wanted{size, record != nullptr ? 1 : gather.lent, elsewhere > 0};
  const bool nonblock = socket.may_not_wait(flags);
  bool looked = false;
  while (result == 0) {
    result = socket.try_send_datagram(whole, gather, record, nonblock);
    if (result != -EAGAIN) break;
    if (!looked) {
      looked = true;
      result = 0;
      guard.channel()->progress();
      if (socket.phase_ != Phase::kOpen) result = socket.take_error();
      continue;
    }
    ++socket.link_.info.credit_stalls;
    if (nonblock) {
      socket.begin_stall(wanted);
      socket.datagram_->wanted = whole;
      break;
    }
    result = socket.block(guard, size, [&] {
      return socket.phase_ != Phase::kOpen || socket.may_send_datagram(whole, wanted);
    });
    if (result == 0 && socket.phase_ != Phase::kOpen) result = socket.take_error();
  }
  if (result == 0 && nonblock) socket.end_stall();
  // Not queued: the buffers are as they were.
  for (uint32_t i = 0; result != 0 && i < gather.lent; ++i) {
    Area::end_flight(gather.records[i].flight, false);
  }
  return result;
}

// 0, -EAGAIN or -errno. may_queue: it may wait here until its address is found.
int Socket::try_send_datagram(const InetAddress& to, const Gather& gather, const SendRecord* copied,
                              bool may_queue) noexcept {
  Datagram& it = *datagram_;
  if (it.failing) return -EAGAIN;
  DatagramPeer* peer = nullptr;
  if (const int error = it.peers.look_up(to, peer)) return error;
  if (peer->state == DatagramPeer::State::kFailed && peer->waiting == 0) {
    return -it.peers.take_error(to, *peer);
  }
  const bool ready = peer->state == DatagramPeer::State::kKnown && peer->waiting == 0;
  if (ready ? !it.sender.has_room() : !may_queue || it.waiting.size() == Datagram::kMostWaiting) {
    return -EAGAIN;
  }
  const uint32_t records = copied != nullptr ? 1 : gather.lent;
  if (records > 0 && !outcomes_.make_room(records)) return -EAGAIN;
  OutgoingDatagram message;
  const uint16_t group_port = to.is_group() ? to.port() : uint16_t{0};
  if (const int error = it.sender.stage(gather, group_port, !ready, message)) return error;
  if (!ready) {
    try {
      it.waiting.push_back({to, {}});
    } catch (const std::bad_alloc&) {
      it.sender.give_up(message);
      return -ENOMEM;
    }
    it.sender.accept(gather, copied, message);
    it.waiting.back().message = message;
    ++peer->waiting;
    return 0;
  }
  it.sender.accept(gather, copied, message);
  const wire::DatagramTag tag{it.source.port(), peer->sequence};
  peer->sequence = wire::next_sequence(peer->sequence);
  if (const int error = it.sender.post(message, peer->to, tag)) begin_ending(-error, false);
  return 0;  // if it failed that is its outcome
}

bool Socket::may_send_datagram(const InetAddress& to, const Wanted& wanted) const noexcept {
  const Datagram& it = *datagram_;
  if (it.failing) return false;
  if (!outcomes_.may_have_room(wanted.records)) return false;
  if (!link_.staging->may_take(link_.buffers_held)) return false;
  const DatagramPeer* const peer = it.peers.peek(to);
  if (peer == nullptr) return it.peers.may_ask();
  if (peer->waiting > 0 || peer->state == DatagramPeer::State::kAsking) return false;
  return peer->state == DatagramPeer::State::kFailed || it.sender.has_room();
}

// Those whose address is known leave, those whose address is not to be found never will. error: nor
// will any.
void Socket::pump_waiting(int error) noexcept {
  Datagram& it = *datagram_;
  if (it.failing && error == 0) return;
  for (auto one = it.waiting.begin(); one != it.waiting.end();) {
    DatagramPeer* const peer = it.peers.find(one->to);
    int failed = error;
    if (failed == 0 && peer == nullptr) failed = EHOSTUNREACH;  // can not be: it was kept
    if (failed == 0 && peer->state == DatagramPeer::State::kFailed) failed = peer->error;
    if (failed == 0 && (peer->state != DatagramPeer::State::kKnown || !it.sender.has_room())) {
      ++one;
      continue;
    }
    if (peer != nullptr) --peer->waiting;
    if (failed != 0) {
      // Who sent a copy and goes on hears of it from SO_ERROR.
      if (one->message.records == 0) so_error_ = it.lost_error = failed;
      it.sender.drop(one->message, failed);
    } else {
      const wire::DatagramTag tag{it.source.port(), peer->sequence};
      peer->sequence = wire::next_sequence(peer->sequence);
      if (const int refused = it.sender.post(one->message, peer->to, tag)) {
        it.waiting.erase(one);
        return begin_ending(-refused, false);  // what waits behind it ends there
      }
    }
    one = it.waiting.erase(one);
  }
}

int Socket::flush_datagram(SocketGuard& guard, TimePoint deadline) {
  Socket& socket = *guard;
  if (socket.datagram_ == nullptr) return 0;  // nothing was ever sent
  guard.channel()->progress();
  const auto done = [&] {
    return socket.phase_ == Phase::kEnded || socket.phase_ == Phase::kFresh ||
           socket.datagram_->all_left();
  };
  int result = 0;
  if (!done()) {
    if (is_over(deadline)) return -EAGAIN;
    result = guard.wait(deadline, done);
  }
  if (result != 0) return result;
  socket.outcomes_.give_back();
  if (socket.phase_ == Phase::kEnded) return -socket.failure_;
  if (socket.phase_ == Phase::kFresh) return 0;
  return -std::exchange(socket.datagram_->lost_error, 0);
}

// -------------------------------------------------------------------------------------- receiving

int Socket::take_datagram(void** buf, size_t size, bool peek) noexcept {
  if (datagram_ == nullptr) return phase_ == Phase::kFresh ? -ENOTCONN : -EPIPE;
  DatagramReceiver& receiver = datagram_->receiver;
  IncomingDatagram datagram;
  if (receiver.peek(datagram)) {
    if (datagram.length > size) return -EMSGSIZE;
    *buf = datagram.data;
    peer_address_ = datagram.from.to_storage();
    if (peek) return static_cast<int>(datagram.length);
    receiver.take(datagram);
    readable_told_ = readable_told_ && receiver.has_next();
    return static_cast<int>(datagram.length);
  }
  readable_told_ = false;
  if (phase_ == Phase::kEnded) return failure_ != 0 ? -failure_ : -ENOTCONN;
  return -EAGAIN;
}

// ----------------------------------------------------------------------------------------- events

// In this order: what comes after must not overtake.
bool Socket::emit_datagram(EventRing& ring) noexcept {
  const bool all = (datagram_->connecting || emit_connect(ring)) && emit_outcomes(ring) &&
                   emit_datagrams(ring) && emit_ends(ring);
  if (all && rare_.closed && phase_ == Phase::kEnded) finish_close_later();
  return all;
}

bool Socket::emit_datagrams(EventRing& ring) noexcept {
  if (rare_.closed) return true;
  if (rare_.want_writable && phase_ == Phase::kOpen &&
      may_send_datagram(datagram_->wanted, wanted_)) {
    if (ring.full()) return false;
    push(ring, EC_WRITABLE, 0);
    end_stall();
    datagram_->wanted = {};
  }
  DatagramReceiver& receiver = datagram_->receiver;
  IncomingDatagram datagram;
  while (receiver.peek(datagram)) {
    if (!deliver_ && readable_told_) return true;
    if (ring.full()) return false;
    if (!deliver_) {
      push(ring, EC_READABLE, 0);
      readable_told_ = true;
      return true;
    }
    receiver.take(datagram);
    event_data_t& event = push(ring, EC_RECV, 0, datagram.slot, DatagramReceiver::kPayload);
    event.data.buf = datagram.data;
    event.data.len = datagram.length;
    event.data.mem = receiver.region()->area().handle();
    event.data.from = datagram.name;
  }
  return true;
}

}  // namespace sio::internal
