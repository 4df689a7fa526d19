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
    if (socket.link_.device != nullptr) message.lkey = area->lkey(socket.link_.device->index());
  } else if (record.release) {
    return -EINVAL;
  } else if (size > socket.options_.copy_max) {
    return -EFAULT;
  }
  const int result = queue(guard, message, socket.nonblock_ || (flags & MSG_DONTWAIT) != 0);
  // Not queued: the buffer is as it was.
  if (result != 0 && area != nullptr) Area::end_flight(record.flight, false);
  return result;
}

// Queues the message, now or when there is room.
int Socket::queue(SocketGuard& guard, OutgoingMessage& message, bool nonblock) {
  Socket& socket = *guard;
  Channel& channel = *guard.channel();
  bool looked = false;
  for (;;) {
    if (const int error = socket.sendable(message.length)) {
      return error == -EPIPE ? socket.take_error() : error;
    }
    if (socket.sender_ != nullptr) {
      if (!looked && socket.sender_->window_may_be_open()) {
        looked = true;
        channel.progress();
        continue;
      }
      if (socket.sender_->send(message, socket.options_.no_delay) == 0) {
        socket.want_writable_ = false;
        socket.after_sending();
        return 0;
      }
      if (!looked) {
        looked = true;
        channel.progress();
        continue;
      }
    }
    ++socket.link_.info.credit_stalls;
    socket.want_writable_ = true;
    if (nonblock) return -EAGAIN;
    const int result = guard.wait(kNever, [&] {
      return socket.sendable(message.length) != 0 ||
             (socket.sender_ != nullptr && socket.sender_->has_room());
    });
    if (result != 0) return result;
    socket.want_writable_ = false;
    if (message.record != nullptr && message.lkey == 0 && socket.link_.device != nullptr) {
      message.lkey = message.record->flight.area->lkey(socket.link_.device->index());
    }
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
