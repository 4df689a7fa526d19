// SPDX-License-Identifier: BSD-2-Clause
//
// The short way of a message that is copied, of which nobody wants to hear, and beside
// which there is nothing to be done. It is part of sio_send, all of it: what such a message costs
// is mostly what lies between functions, so there are none.
#pragma once

#include <cstdlib>

#include "socket/sender.h"
#include "socket/socket.h"

namespace sio::internal {

// While the window is far from closed. (An empty one is none of these: it has nothing to gather.)
[[gnu::always_inline]] inline bool Sender::may_post_plain(size_t length) const noexcept {
  return length - 1 < plain_most_ && ahead_ < plain_window_ && plain_left_ > 0;
}

// As post_message() of one that is inlined and not signalled. Nothing comes back.
[[gnu::always_inline]] inline bool Sender::post_plain(const void* data, uint32_t length) noexcept {
  plain_sge_.addr = reinterpret_cast<uintptr_t>(data);
  plain_sge_.length = length;
  ++plain_.wr_id;
  const int error = post_as_plain(length);
  --plain_left_;
  ++unsignalled_;
  return has_posted(error);
}

// It is on its way before it is accounted for. 0 or an errno, for has_posted().
[[gnu::always_inline]] inline int Sender::post_as_plain(uint32_t length) noexcept {
  ibv_send_wr* bad;
  const int error = link_.queue_pair->post_send_directly(&plain_, &bad);
  ++posted_;
  posted_after_messages_ = 0;
  ++ahead_;
  --data_credits_;
  ++link_.info.sends_posted;
  --credits_;
  count_message(length);
  link_.hub->posted();
  return error;
}

[[gnu::always_inline]] inline bool Sender::has_posted(int error) noexcept {
  if (error == 0) [[likely]]
    return true;
  post_error_ = std::abs(error);
  stir();
  return false;
}

[[gnu::always_inline]] inline bool Sender::add_plain(const void* data, size_t length,
                                                     bool alone) noexcept {
  const bool waits = !alone && !train_.empty() && rest_.empty() && !window_open();
  if (!waits || length == 0 || length > std::min(kCopyInTrain, limits_.copy_max)) return false;
  const auto bytes = static_cast<uint32_t>(length);
  if (!train_.has_room(bytes, true)) return false;
  train_.add_copy(data, bytes);
  count_message(bytes);
  return true;
}

// `other` is asked for the result where it is not such a message or not such a socket; given the
// socket and its channel, that has been locked.
template <typename Other>
[[gnu::always_inline]] inline int Socket::send_plain(int fd, const void* buf, size_t size,
                                                     int flags, Other other) noexcept {
  constexpr int kUsual = MSG_DONTWAIT | MSG_NOSIGNAL | SIO_RELEASE;
  const bool plain = buf != nullptr && (flags & ~kUsual) == 0;
  Socket* const socket = plain ? DescriptorTable::instance().socket(fd) : nullptr;
  Channel* const channel = socket != nullptr ? socket->channel() : nullptr;
  if (channel == nullptr || !channel->mutex().try_lock()) return other(nullptr, nullptr);
  if (!socket->sends_plain(fd, channel, buf, flags) || !socket->sender_->may_post_plain(size))
      [[unlikely]]
    return other(socket, channel);
  const bool posted = socket->sender_->post_plain(buf, static_cast<uint32_t>(size));
  if (!posted || !channel->is_calm()) [[unlikely]]
    return socket->leave_after_posting(channel, posted);
  channel->leave_calm();
  return 0;
}

// Whether it is this socket still, and its connection stands.
[[gnu::always_inline]] inline bool Socket::is_open_at(int fd, const Channel* in) const noexcept {
  return channel() == in && fd_ == fd && !rare_.any_for_sending();
}

// And a message from there may be copied and sent by it.
[[gnu::always_inline]] inline bool Socket::sends_plain(int fd, const Channel* in, const void* buf,
                                                       int flags) const noexcept {
  return is_open_at(fd, in) && sending_area(buf) == nullptr && (flags & SIO_RELEASE) == 0;
}

}  // namespace sio::internal
