// SPDX-License-Identifier: BSD-2-Clause
//
// recv(2) and send(2) on streams, but not as glibc's cancellation points: in a program with threads
// these take 30 ns more, of 300. Nothing here is cancelled.
#pragma once

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>

namespace sio::internal::provider::soft {

inline ssize_t receive_now(int fd, void* to, size_t size) noexcept {
  return syscall(SYS_recvfrom, fd, to, size, MSG_DONTWAIT, nullptr, nullptr);
}

inline ssize_t send_now(int fd, const void* from, size_t size) noexcept {
  return syscall(SYS_sendto, fd, from, size, MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
}

}  // namespace sio::internal::provider::soft
