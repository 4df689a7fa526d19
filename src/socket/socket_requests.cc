// SPDX-License-Identifier: BSD-2-Clause
//
// Operations whose outcome is not the program's to hear of but a Completion's.
#include <algorithm>

#include "socket/socket_guard.h"

namespace sio::internal {

// Nothing of it is lent, so that the sender has no record that could name who is to hear of it: it
// goes as a message in one piece would. Small, as all that is copied.
int Socket::send_copied(SocketGuard& guard, const Gather& gather, int flags,
                        Completion& completion) {
  char whole[kTrainBytes];
  gather.copy_to(whole);
  return send(guard, whole, gather.length, flags & ~SIO_RELEASE, &completion);
}

int Socket::request_receive(SocketGuard& guard, Completion& completion) noexcept {
  Socket& socket = *guard;
  if (socket.deliver_) return -EINVAL;
  socket.reopen_datagram();
  if (socket.phase_ == Phase::kFresh || socket.phase_ == Phase::kListening) return -ENOTCONN;
  socket.connect_is_known();
  socket.receives_.push_back(completion);
  guard.channel()->progress();
  socket.serve_receives();
  return 0;
}

bool Socket::withdraw(Completion& completion) noexcept {
  const auto found = std::find_if(receives_.begin(), receives_.end(),
                                  [&](const Completion& one) { return &one == &completion; });
  if (found == receives_.end()) return false;
  receives_.erase(found);
  return true;
}

void Socket::serve_receives() noexcept {
  while (!receives_.empty()) {
    void* data = nullptr;
    const int result = take_next(&data, receives_.front().most(), false);
    if (result == -EAGAIN) return;
    Completion& first = receives_.front();
    receives_.pop_front();
    first.received(*this, data, result);
  }
}

// Nobody will take a message here any more.
void Socket::abandon_receives(int error) noexcept {
  while (!receives_.empty()) {
    Completion& first = receives_.front();
    receives_.pop_front();
    first.received(*this, nullptr, -error);
  }
}

}  // namespace sio::internal
