// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "event/channel_guard.h"
#include "event/channel_wait.h"
#include "socket/socket.h"

namespace sio::internal {

// A socket, locked, for the length of a call.
class SocketGuard {
 public:
  // The socket of a descriptor; empty if it is none.
  static SocketGuard of(int fd);
  // The socket of a timer or a task; empty if it has gone.
  static SocketGuard of(Socket* socket, uint64_t generation);

  explicit operator bool() const noexcept { return socket_ != nullptr; }
  Socket* operator->() const noexcept { return socket_; }
  Socket& operator*() const noexcept { return *socket_; }
  ChannelGuard& channel() noexcept { return channel_; }

  // Waits on the channel until `ready()`. -EBADF: the socket was closed meanwhile.
  template <typename Ready>
  int wait(TimePoint deadline, Ready ready) {
    Socket* const socket = socket_;
    const uint64_t generation = generation_;
    ++socket->waiting_;
    const int result = channel_->wait(channel_.lock(), WaitFor::kState, deadline, [&] {
      return socket->generation() != generation || socket->rare_.closed || ready();
    });
    if (socket->generation() != generation) return -EBADF;
    --socket->waiting_;
    return socket->rare_.closed ? -EBADF : result;
  }

 private:
  SocketGuard() noexcept = default;
  // Locks the channel first: what the socket says is settled then.
  SocketGuard(Socket* socket, Channel* channel)
      : channel_(channel), socket_(socket), generation_(socket->generation()) {}

  ChannelGuard channel_;
  Socket* socket_ = nullptr;
  uint64_t generation_ = 0;
};

template <typename Ready>
int Socket::block(SocketGuard& guard, size_t length, Ready ready) {
  STATIC_PROBE(stall, fd_, length, credits());
  ++blocked_sends_;
  rare_.send_blocked = true;
  const int result = guard.wait(kNever, ready);
  if (result == -EBADF) return result;
  rare_.send_blocked = --blocked_sends_ > 0;
  STATIC_PROBE(stall_end, fd_, length, credits());
  return result;
}

}  // namespace sio::internal
