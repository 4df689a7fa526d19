// SPDX-License-Identifier: BSD-2-Clause
#include <limits.h>
#include <sio/aio.h>
#include <sio/sio.h>

#include <algorithm>
#include <span>

#include "aio/control_block.h"
#include "aio/request.h"
#include "aio/requests.h"
#include "api/boundary.h"
#include "base/clock.h"
#include "event/descriptor_table.h"
#include "socket/socket_guard.h"

using namespace sio::internal;
using Kind = Operation::Kind;

namespace {

bool sends(Kind kind) noexcept {
  return kind == Kind::kSend || kind == Kind::kSendMessage || kind == Kind::kWrite;
}

bool can_be_told(const sigevent& notice) noexcept {
  switch (notice.sigev_notify) {
    case SIGEV_EC:
    case SIGEV_NONE:
      return true;
    case SIGEV_SIGNAL:
      return notice.sigev_signo >= 1 && notice.sigev_signo <= SIGRTMAX;
    case SIGEV_THREAD:
      return notice.sigev_notify_function != nullptr;
    default:
      return false;
  }
}

// The rest is for the kernel, or the socket, to say.
int check_message(const msghdr* message) noexcept {
  if (message == nullptr) return -EINVAL;
  return message->msg_iov == nullptr && message->msg_iovlen > 0 ? -EINVAL : 0;
}

// As sio_sendmsg and sio_recvmsg.
int check_on_socket(Operation& what) noexcept {
  if ((what.flags & ~(sends(what.kind) ? kSendFlags : 0)) != 0) return -EINVAL;
  if (!what.has_message()) return 0;
  const msghdr& message = *what.message;
  if (what.kind == Kind::kReceiveMessage) return message.msg_iovlen == 0 ? -EINVAL : 0;
  if (message.msg_name != nullptr) {
    const SocketGuard socket = SocketGuard::of(what.fd);
    if (!socket) return -EBADF;
    if (!socket->is_datagram()) return -EISCONN;
    const auto* const name = static_cast<const sockaddr*>(message.msg_name);
    if (const int error = check_address(name, message.msg_namelen)) return error;
  }
  if (message.msg_controllen > 0) return -EINVAL;
  if (message.msg_iovlen > IOV_MAX) return -EMSGSIZE;
  what.length = 0;
  for (const iovec& piece : std::span(message.msg_iov, message.msg_iovlen)) {
    if (piece.iov_base == nullptr && piece.iov_len > 0) return -EINVAL;
    what.length += piece.iov_len;
  }
  return 0;
}

// 0 or -errno. Messages are not yet filled in.
int check(Operation& what) noexcept {
  if (what.has_message()) {
    if (const int error = check_message(what.message)) return error;
    what.buf = nullptr;
    what.length = 0;
  } else if (sends(what.kind) && what.buf == nullptr && what.length > 0) {
    return -EINVAL;
  }
  const bool in_file = what.kind == Kind::kRead || what.kind == Kind::kWrite;
  if (in_file && what.offset < 0) return -EINVAL;
  what.on_socket = DescriptorTable::instance().socket(what.fd) != nullptr;
  if (what.on_socket) return check_on_socket(what);
  const bool nowhere = what.buf == nullptr && what.length > 0;
  return (what.flags & SIO_RELEASE) != 0 || nowhere ? -EINVAL : 0;
}

int queue(aio_cb* block, Kind kind, int flags) noexcept {
  return call([&] {
    if (block == nullptr || !can_be_told(block->aio_sigevent)) return -EINVAL;
    ControlBlock control(*block);
    if (!control.claim([](uint64_t handle) { return Request::find(handle) != nullptr; })) {
      return -EBUSY;
    }
    Operation what{kind,
                   block->aio_fildes,
                   block->aio_buf,
                   block->aio_nbytes,
                   block->aio_offset,
                   block->aio_msghdr,
                   flags};
    int result = check(what);
    try {
      if (result == 0) result = queue_request(*block, what);
    } catch (...) {
      control.give_up();
      throw;
    }
    if (result != 0) control.give_up();
    return result;
  });
}

}  // namespace

int aio_send(struct aio_cb* aiocbp, int flags) { return queue(aiocbp, Kind::kSend, flags); }

int aio_recv(struct aio_cb* aiocbp, int flags) { return queue(aiocbp, Kind::kReceive, flags); }

int aio_sendmsg(struct aio_cb* aiocbp, int flags) {
  return queue(aiocbp, Kind::kSendMessage, flags);
}

int aio_recvmsg(struct aio_cb* aiocbp, int flags) {
  return queue(aiocbp, Kind::kReceiveMessage, flags);
}

int aio_read_ec(struct aio_cb* aiocbp) { return queue(aiocbp, Kind::kRead, 0); }

int aio_write_ec(struct aio_cb* aiocbp) { return queue(aiocbp, Kind::kWrite, 0); }

// What has ended is told before anything else is done: a signal handler may ask.
int aio_cb_error(const struct aio_cb* aiocbp) {
  if (ForkGuard::in_child()) return fail(EPERM);
  if (aiocbp == nullptr) return fail(EINVAL);
  const ControlBlock control(*aiocbp);
  if (control.ended()) return control.error();
  return call([&] {
    if (!control.ever_queued()) return -EINVAL;
    look_at_request(*aiocbp);
    Deferred::run_noted();  // what another channel's queue has to say
    return control.ended() ? control.error() : EINPROGRESS;
  });
}

ssize_t aio_cb_return(struct aio_cb* aiocbp) {
  if (ForkGuard::in_child()) return fail(EPERM);
  if (aiocbp == nullptr) return fail(EINVAL);
  const ControlBlock control(*aiocbp);
  if (!control.ended()) return fail(control.ever_queued() ? EINPROGRESS : EINVAL);
  return control.error() != 0 ? fail(control.error()) : control.returned();
}

int aio_cb_cancel(struct aio_cb* aiocbp) {
  return call([&] {
    if (aiocbp == nullptr) return -EINVAL;
    const ControlBlock control(*aiocbp);
    if (control.ended()) return -ENOENT;
    return control.ever_queued() ? cancel_request(*aiocbp) : -EINVAL;
  });
}

int aio_cb_suspend(const struct aio_cb* const list[], int n, const struct timespec* tout) {
  return call([&] {
    TimePoint deadline;
    if (list == nullptr || n <= 0 || !deadline_after(tout, deadline)) return -EINVAL;
    const std::span blocks(list, static_cast<size_t>(n));
    bool any = false;
    for (const aio_cb* one : blocks) {
      if (one == nullptr) continue;
      const ControlBlock control(*one);
      if (!control.ever_queued()) return -EINVAL;
      any = true;
    }
    return any ? suspend_until_one_ends(blocks, deadline) : -EINVAL;
  });
}
