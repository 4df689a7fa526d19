// SPDX-License-Identifier: BSD-2-Clause
//
// sio_send and sio_flush.
#include "socket/socket.h"

namespace sio::internal {

// Whether a message of that size may be queued at all: 0 or -errno.
int Socket::sendable(size_t size) const noexcept {
  switch (phase_) {
    case Phase::kFresh:
    case Phase::kListening:
      return -ENOTCONN;
    case Phase::kEnding:
      if (reconnectable_) return -ENOTCONN;  // the connect failed
      [[fallthrough]];
    case Phase::kEnded:
      return -EPIPE;
    default:
      break;
  }
  if (write_shut_ || peer_gone_) return -EPIPE;
  const uint32_t most =
      phase_ == Phase::kOpen || phase_ == Phase::kAccepting ? peer_.slot_size : wire::kMaxSlotSize;
  return size > most ? -EMSGSIZE : 0;
}

// Why the connection failed, told once; then EPIPE.
int Socket::take_error() noexcept {
  if (failure_ == 0 || failure_told_) return -EPIPE;
  failure_told_ = true;
  return -failure_;
}

// Queues a message of that length, now or when there is room: put() gives it to the sender, and
// find_keys() looks again when the device may not have been known before.
template <typename Put, typename FindKeys>
int Socket::queue(SocketGuard& guard, size_t length, int flags, Put put, FindKeys find_keys) {
  Socket& socket = *guard;
  Channel& channel = *guard.channel();
  bool looked = false;
  for (;;) {
    if (const int error = socket.sendable(length)) {
      return error == -EPIPE ? socket.take_error() : error;
    }
    if (socket.sender_ != nullptr) {
      if (!looked && socket.sender_->window_may_be_open()) {
        looked = true;
        channel.progress();
        continue;
      }
      const int result = put(*socket.sender_);
      if (result == 0) {
        socket.want_writable_ = false;
        socket.after_sending();
        return 0;
      }
      if (result != -EAGAIN) return result;
      if (!looked) {
        looked = true;
        channel.progress();
        continue;
      }
    }
    ++socket.link_.info.credit_stalls;
    socket.want_writable_ = true;
    if (socket.nonblock_ || (flags & MSG_DONTWAIT) != 0) return -EAGAIN;
    const int result = guard.wait(kNever, [&] {
      return socket.sendable(length) != 0 ||
             (socket.sender_ != nullptr && socket.sender_->has_room());
    });
    if (result != 0) return result;
    socket.want_writable_ = false;
    find_keys();
  }
}

int Socket::send(SocketGuard& guard, const void* buf, size_t size, int flags) {
  Socket& socket = *guard;
  if (const int error = socket.sendable(size)) return error == -EPIPE ? socket.take_error() : error;
  SendRecord record{buf, size, {}, (flags & SIO_RELEASE) != 0, 0};
  OutgoingMessage message{buf, static_cast<uint32_t>(size), 0, nullptr};
  Area* const area = socket.sending_area(buf);
  if (area != nullptr) {
    if (const int error = area->begin_flight(buf, size, record.flight, record.release))
      return error;
    message.record = &record;
    message.lkey = socket.key_of(*area);
  } else if (record.release) {
    return -EINVAL;
  } else if (size > socket.options_.copy_max) {
    return -EFAULT;
  }
  const bool more = (flags & MSG_MORE) != 0;
  const auto put = [&](Sender& sender) {
    return sender.send(message, socket.options_.no_delay && !more, more);
  };
  const auto find_key = [&] {
    if (area != nullptr) message.lkey = socket.key_of(*area);
  };
  const int result = queue(guard, size, flags, put, find_key);
  // Not queued: the buffer is as it was.
  if (result != 0 && area != nullptr) Area::end_flight(record.flight, false);
  return result;
}

int Socket::send_pieces(SocketGuard& guard, std::span<const iovec> pieces, int flags) {
  Socket& socket = *guard;
  Gather gather;
  size_t size = 0;
  size_t elsewhere = 0;
  int result = 0;
  for (auto piece = pieces.begin(); piece != pieces.end() && result == 0; ++piece) {
    if (piece->iov_len == 0) continue;
    if (piece->iov_len > SIZE_MAX - size || gather.count == Gather::kMostPieces) {
      result = -EMSGSIZE;
      break;
    }
    size += piece->iov_len;
    result = socket.sendable(size);
    if (result == 0) result = socket.add_piece(gather, *piece, flags, elsewhere);
  }
  if (result == 0) {
    const bool more = (flags & MSG_MORE) != 0;
    const auto put = [&](Sender& sender) {
      return sender.send(gather, socket.options_.no_delay && !more, more);
    };
    result = queue(guard, size, flags, put, [&] { socket.find_keys(gather); });
  } else if (result == -EPIPE) {
    result = socket.take_error();
  }
  for (uint32_t i = 0; result != 0 && i < gather.lent; ++i) {
    Area::end_flight(gather.records[i].flight, false);
  }
  return result;
}

// One event tells of them all: it names the first that was lent.
int Socket::add_piece(Gather& gather, const iovec& piece, int flags,
                      size_t& elsewhere) const noexcept {
  SendRecord record{piece.iov_base, piece.iov_len, {}, (flags & SIO_RELEASE) != 0, 0,
                    gather.lent > 0};
  Area* const area = sending_area(piece.iov_base);
  if (area != nullptr) {
    const int error =
        area->begin_flight(piece.iov_base, piece.iov_len, record.flight, record.release);
    if (error != 0) return error;
    gather.records[gather.lent++] = record;
  } else if (record.release) {
    return -EINVAL;
  } else if ((elsewhere += piece.iov_len) > options_.copy_max) {
    return -EFAULT;
  }
  gather.length += static_cast<uint32_t>(piece.iov_len);
  gather.pieces[gather.count++] = {piece.iov_base, static_cast<uint32_t>(piece.iov_len),
                                   area != nullptr ? key_of(*area) : 0, area != nullptr};
  return 0;
}

// Of an area, for the device of this connection; 0: that is not known yet.
uint32_t Socket::key_of(const Area& area) const noexcept {
  return link_.device != nullptr ? area.lkey(link_.device->index()) : 0;
}

void Socket::find_keys(Gather& gather) const noexcept {
  const SendRecord* record = gather.records.data();
  for (uint32_t i = 0; i < gather.count; ++i) {
    if (gather.pieces[i].lent) gather.pieces[i].lkey = key_of(*(record++)->flight.area);
  }
}

// After anything that may have posted.
void Socket::after_sending() noexcept {
  if (sender_->post_error() != 0) return begin_ending(sender_->post_error(), true);
  update_hold();
}

// What is held back is looked at before the channel sleeps. While something is, every completion
// wakes.
void Socket::update_hold() noexcept {
  if (sender_->holding() == held()) return;  // mostly so; what has ended needs no hurry
  const bool open = phase_ == Phase::kOpen || phase_ == Phase::kAccepting;
  CompletionHub& hub = channel()->hub();
  open && sender_->holding() ? hub.hold(this) : hub.unhold(this);
}

int Socket::flush(SocketGuard& guard, TimePoint deadline) {
  Socket& socket = *guard;
  if (socket.phase_ == Phase::kFresh || socket.phase_ == Phase::kListening) return -ENOTCONN;
  guard.channel()->progress();
  const auto done = [&] {
    if (socket.phase_ == Phase::kEnding) return false;  // what was acknowledged shows at its end
    if (socket.phase_ == Phase::kEnded || socket.phase_ == Phase::kFresh) return true;
    if (socket.sender_ == nullptr || !socket.sender_->opened()) return false;
    socket.sender_->pump(true);
    if (!socket.sender_->holding()) socket.sender_->fence();
    socket.after_sending();
    return socket.phase_ < Phase::kEnding && socket.sender_->idle();
  };
  int result = 0;
  if (!done()) {
    if (deadline <= Clock::now()) return -EAGAIN;
    result = guard.wait(deadline, done);
  }
  if (result != 0) return result;
  if (socket.phase_ == Phase::kFresh) return -ENOTCONN;  // the connect failed
  socket.outcomes_.give_back();
  if (socket.phase_ != Phase::kEnded) return 0;
  return socket.failure_ != 0 ? -socket.failure_ : socket.lost_messages_ ? -EPIPE : 0;
}

}  // namespace sio::internal
