// SPDX-License-Identifier: BSD-2-Clause
#include "cat/readiness.h"

#include <poll.h>
#include <sys/epoll.h>

#include <cerrno>

#include "cat/failure.h"

namespace sio_cat {

Readiness::Readiness(const sio::Channel& channel, int fd, uint32_t events)
    : channel_(channel), fd_(fd), events_(events) {
  // A descriptor that is closed is found by who uses it.
  if (ec_add_fd(channel.handle(), fd, events | EPOLLONESHOT, this) == 0) {
    waiting_ = true;
  } else if (errno == EPERM || errno == EBADF) {
    always_ = true;
  } else {
    throw Failure("ec_add_fd", errno);
  }
}

Readiness::~Readiness() {
  if (!always_) ec_del_fd(channel_.handle(), fd_);
}

bool Readiness::ready() {
  if (always_) return true;
  if (waiting_) return false;
  pollfd one{fd_, static_cast<short>(events_), 0};  // epoll's bits are poll's
  if (::poll(&one, 1, 0) > 0) return true;
  channel_.change(fd_, events_ | EPOLLONESHOT, this);
  waiting_ = true;
  return false;
}

}  // namespace sio_cat
