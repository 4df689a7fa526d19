// SPDX-License-Identifier: BSD-2-Clause
//
// sio_send and sio_flush.
#include "socket/plain_send.h"
#include "socket/socket_guard.h"

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
  if (rare_.write_shut || rare_.peer_gone) return -EPIPE;
  const uint64_t most = knows_peer() ? peer_.max_message : wire::kMaxMessage;
  return size > most ? -EMSGSIZE : 0;
}

// Why the connection failed, told once; then EPIPE.
int Socket::take_error() noexcept {
  if (failure_ == 0 || failure_told_) return -EPIPE;
  failure_told_ = true;
  return -failure_;
}

// The same, as sio_send says it.
int Socket::refusal(size_t size) noexcept {
  const int error = sendable(size);
  if (error == -EMSGSIZE) return too_large_for_peer(size);
  return error == -EPIPE ? take_error() : error;
}

// Queues such a message, which is sendable, now or when there is room: put() gives it to the
// sender, and find_keys() looks again when the device may not have been known before.
template <typename Put, typename FindKeys>
int Socket::queue(SocketGuard& guard, const Wanted& wanted, int flags, Put put,
                  FindKeys find_keys) {
  Socket& socket = *guard;
  bool looked = false;
  for (;;) {
    if (socket.sender_ != nullptr) {
      const bool look_first = !looked && socket.sender_->window_may_be_open(wanted.length);
      const int result = look_first ? -EAGAIN : put(*socket.sender_);
      if (result == 0) {
        // Else it is another thread that was told EAGAIN, and waits for EC_WRITABLE.
        if (socket.may_not_wait(flags)) socket.end_stall();
        socket.after_sending();
        return 0;
      }
      if (result != -EAGAIN) return result;
    }
    if (socket.sender_ != nullptr && !looked) {
      looked = true;
      guard.channel()->progress();
    } else {
      if (const int error = socket.wait_for_room(guard, wanted, flags)) return error;
      find_keys();
    }
    if (const int error = socket.refusal(wanted.length)) return error;
  }
}

// 0 or -errno; -EAGAIN: the program is told when there is room. After -EBADF the socket is somebody
// else's, perhaps.
int Socket::wait_for_room(SocketGuard& guard, const Wanted& wanted, int flags) {
  ++link_.info.credit_stalls;
  if (sender_ != nullptr) recall_buffers();
  if (may_not_wait(flags)) {
    begin_stall(wanted);
    return -EAGAIN;
  }
  // Before there is a device there is no sender. Then its coming is enough: it takes messages
  // before the connection stands, and its room is told of afterwards.
  const bool had_sender = sender_ != nullptr;
  return block(guard, wanted.length, [&] {
    if (sendable(wanted.length) != 0 || has_room_for(wanted)) return true;
    return !had_sender && sender_ != nullptr;
  });
}

// If what lacks may be a staging buffer (a large message takes two): those of SENDs without a
// signal would not come back before there is another SEND.
void Socket::recall_buffers() noexcept {
  if (link_.buffers_held == 0 || link_.staging->may_take(link_.buffers_held, 2)) return;
  sender_->fence();
  after_sending();
}

// On a stream no bytes are nothing: no SEND, and no event.
int Socket::send_nothing(Completion* completion) noexcept {
  if (completion != nullptr) completion->sent(0);
  return 0;
}

// The same if it is behind others, or not quite so plain.
bool Socket::send_nearly_plain(Channel* channel, int fd, const void* buf, size_t size,
                               int flags) noexcept {
  bool sent = true;
  if (is_open_at(fd, channel)) sender_->age_window(size);
  if (!sends_plain(fd, channel, buf, flags)) {
    sent = send_laden(channel, fd, buf, size, flags);
  } else if (sender_->may_begin_plain(size)) {
    const bool posted = sender_->post_first_plain(buf, static_cast<uint32_t>(size));
    if (!posted) after_sending();
  } else if (sender_->add_plain(buf, size, options_.no_delay)) {
    channel->hub().hold(this);
  } else {
    sent = send_laden(channel, fd, buf, size, flags);
  }
  sent && channel->is_calm() ? channel->leave_calm() : channel->leave();
  Deferred::run_noted();
  return sent;
}

int Socket::leave_after_posting(Channel* channel, bool posted) noexcept {
  if (!posted) after_sending();
  channel->leave();
  Deferred::run_noted();
  return 0;
}

int Socket::send(SocketGuard& guard, const void* buf, size_t size, int flags,
                 Completion* completion) {
  Socket& socket = *guard;
  if (socket.is_datagram()) {
    const iovec whole{const_cast<void*>(buf), size};
    return send_datagram(guard, {}, {&whole, 1}, flags, completion);
  }
  if (const int error = socket.refusal(size)) return error;
  if (size == 0 && socket.is_stream()) return send_nothing(completion);
  Area* const area = socket.sending_area(buf);
  if (area == nullptr && completion == nullptr) return send_unlent(guard, buf, size, flags);
  SendRecord record{.buf = buf,
                    .len = size,
                    .completion = completion,
                    .release = (flags & SIO_RELEASE) != 0,
                    .silent = completion != nullptr};
  OutgoingMessage message{buf, static_cast<uint32_t>(size), 0,
                          completion != nullptr ? &record : nullptr};
  if (area != nullptr) {
    if (const int error = area->begin_flight(buf, size, record.flight, record.release))
      return error;
    message.record = &record;
    message.lkey = socket.key_of(*area);
  } else if (record.release) {
    return -EINVAL;
  } else if (size > socket.options_.copy_max) {
    return socket.too_large_to_copy(size);
  }
  const auto put = [&](Sender& sender) { return socket.hand_to(sender, message, flags); };
  const auto find_key = [&] {
    if (area != nullptr) message.lkey = socket.key_of(*area);
  };
  const int result = queue(guard, {size, 1, area == nullptr}, flags, put, find_key);
  // Not queued: the buffer is as it was.
  if (result != 0 && area != nullptr) Area::end_flight(record.flight, false);
  return result;
}

// What is the program's again at once, and of which nobody wants to hear.
int Socket::send_unlent(SocketGuard& guard, const void* buf, size_t size, int flags) {
  Socket& socket = *guard;
  if ((flags & SIO_RELEASE) != 0) return -EINVAL;
  if (size > socket.options_.copy_max) return socket.too_large_to_copy(size);
  const OutgoingMessage message{buf, static_cast<uint32_t>(size), 0, nullptr};
  const auto put = [&](Sender& sender) { return socket.hand_to(sender, message, flags); };
  return queue(guard, {size, 1, true}, flags, put, [] {});
}

template <typename Message>
int Socket::hand_to(Sender& sender, const Message& message, int flags) {
  const bool more = (flags & MSG_MORE) != 0;
  const bool alone = options_.no_delay && !more;
  if (is_stream()) return sender.stream(message, alone, more);
  if (!sender.fits(message.length)) return send_bulk(message, more);
  return sender.send(message, alone, more);
}

int Socket::send_pieces(SocketGuard& guard, std::span<const iovec> pieces, int flags,
                        Completion* completion) {
  Socket& socket = *guard;
  if (socket.is_datagram()) return send_datagram(guard, {}, pieces, flags, completion);
  Gather gather;
  size_t size = 0;
  size_t elsewhere = 0;
  int result = 0;
  for (auto piece = pieces.begin(); piece != pieces.end() && result == 0; ++piece) {
    // An empty one is nothing to send, but may be a message to be released.
    if (piece->iov_len == 0 && ((flags & SIO_RELEASE) == 0 || socket.is_stream())) continue;
    if (piece->iov_len > SIZE_MAX - size || gather.count == Gather::kMostPieces ||
        gather.lent == Gather::kMostPieces) {
      result = -EMSGSIZE;
      break;
    }
    size += piece->iov_len;
    result = socket.sendable(size);
    if (result == 0) result = socket.add_piece(gather, *piece, flags, elsewhere);
  }
  if (result == 0) result = socket.sendable(size);
  if (result == 0 && size == 0 && socket.is_stream()) return send_nothing(completion);
  if (result == 0 && completion != nullptr) {
    if (gather.lent == 0) return send_copied(guard, gather, flags, *completion);
    gather.records[0].silent = true;
    gather.records[gather.lent - 1].completion = completion;  // when all are the program's again
  }
  if (result == 0) {
    const auto put = [&](Sender& sender) { return socket.hand_to(sender, gather, flags); };
    const Wanted wanted{size, std::max(1u, gather.lent), elsewhere > 0};
    result = queue(guard, wanted, flags, put, [&] { socket.find_keys(gather); });
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
  SendRecord record{.buf = piece.iov_base,
                    .len = piece.iov_len,
                    .release = (flags & SIO_RELEASE) != 0,
                    .silent = gather.lent > 0};
  Area* const area = sending_area(piece.iov_base);
  if (area != nullptr) {
    const int error =
        area->begin_flight(piece.iov_base, piece.iov_len, record.flight, record.release);
    if (error != 0) return error;
    gather.records[gather.lent++] = record;
  } else if (record.release) {
    return -EINVAL;
  } else if ((elsewhere += piece.iov_len) > options_.copy_max) {
    return too_large_to_copy(elsewhere);
  }
  if (piece.iov_len == 0) return 0;
  gather.length += static_cast<uint32_t>(piece.iov_len);
  const bool lent = area != nullptr;
  gather.pieces[gather.count++] = {piece.iov_base, static_cast<uint32_t>(piece.iov_len),
                                   lent ? key_of(*area) : 0, lent, lent ? gather.lent - 1 : 0};
  return 0;
}

// Of an area, for the device of this connection; 0: that is not known yet.
uint32_t Socket::key_of(const Area& area) const noexcept {
  return link_.device != nullptr ? area.lkey(link_.device->index()) : 0;
}

void Socket::find_keys(Gather& gather) const noexcept {
  for (uint32_t i = 0; i < gather.count; ++i) {
    Gather::Piece& piece = gather.pieces[i];
    if (piece.lent) piece.lkey = key_of(*gather.records[piece.record].flight.area);
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
  // Mostly so; what has ended needs no hurry. What waits on the bulk lane may be held already when
  // something else comes.
  if (holding() == held() && !sender_->holding()) return;
  const bool open = phase_ == Phase::kOpen || phase_ == Phase::kAccepting;
  if (open && holding()) {
    channel()->hub().hold(this);
  } else {
    channel()->hub().unhold(this);
  }
}

int Socket::flush(SocketGuard& guard, TimePoint deadline) {
  Socket& socket = *guard;
  if (socket.is_datagram()) return flush_datagram(guard, deadline);
  if (socket.phase_ == Phase::kFresh || socket.phase_ == Phase::kListening) return -ENOTCONN;
  guard.channel()->progress();
  const auto done = [&] {
    if (socket.phase_ == Phase::kEnding) return false;  // what was acknowledged shows at its end
    if (socket.phase_ == Phase::kEnded || socket.phase_ == Phase::kFresh) return true;
    if (socket.sender_ == nullptr || !socket.sender_->opened()) return false;
    socket.sender_->pump(true);
    if (!socket.sender_->holding()) socket.sender_->fence();
    socket.after_sending();
    return socket.phase_ < Phase::kEnding && socket.all_sent();
  };
  int result = 0;
  if (!done()) {
    if (is_over(deadline)) return -EAGAIN;
    result = guard.wait(deadline, done);
  }
  if (result != 0) return result;
  if (socket.phase_ == Phase::kFresh) return -ENOTCONN;  // the connect failed
  socket.outcomes_.give_back();
  if (socket.phase_ != Phase::kEnded) return 0;
  return socket.failure_ != 0 ? -socket.failure_ : socket.lost_messages_ ? -EPIPE : 0;
}

}  // namespace sio::internal
