// SPDX-License-Identifier: BSD-2-Clause
#include "aio/requests.h"

#include <cerrno>
#include <mutex>

#include "aio/channel_queue.h"
#include "aio/control_block.h"
#include "aio/loose_queue.h"
#include "base/log.h"
#include "control/control_thread.h"
#include "socket/socket_guard.h"

namespace sio::internal {
namespace {

// Until an operation that was being woken is asked again to end.
constexpr milliseconds kCancelAgain{10};

// The queue that a notice belongs to, locked.
class QueueGuard {
 public:
  // Empty: there is no such channel. Throws.
  static QueueGuard of(const sigevent& notice) {
    QueueGuard guard;
    if (notice.sigev_notify == SIGEV_EC) {
      guard.channel_.emplace(ChannelGuard::of(notice.sigev_ec));
      if (*guard.channel_) guard.queue_ = &ChannelQueue::of(**guard.channel_);
    } else {
      guard.loose_ = std::unique_lock(LooseQueue::instance().mutex());
      LooseQueue::instance().open();
      guard.queue_ = &LooseQueue::instance();
    }
    return guard;
  }
  // That of a request that was begun.
  static QueueGuard of(const Request& request) {
    QueueGuard guard = of(request.channel());
    guard.queue_ = request.queue();
    return guard;
  }
  // Only the lock: that of a channel's queue, or of the one without.
  static QueueGuard of(Channel* channel) {
    QueueGuard guard;
    if (channel != nullptr) {
      guard.channel_.emplace(channel);
    } else {
      guard.loose_ = std::unique_lock(LooseQueue::instance().mutex());
    }
    return guard;
  }

  explicit operator bool() const noexcept { return queue_ != nullptr; }
  RequestQueue* operator->() const noexcept { return queue_; }
  // Takes what has ended, and tells.
  void look() noexcept { channel_ ? (void)(*channel_)->progress() : (void)queue_->take_ended(); }

 private:
  QueueGuard() = default;

  std::optional<ChannelGuard> channel_;
  std::unique_lock<std::mutex> loose_;
  RequestQueue* queue_ = nullptr;
};

int hand_to(SocketGuard& socket, Request& request) {
  using Kind = Operation::Kind;
  const Operation& what = request.what();
  const int flags = what.flags | MSG_DONTWAIT;
  switch (what.kind) {
    case Kind::kWrite:
    case Kind::kSend:
      return Socket::send(socket, what.buf, what.length, flags, &request);
    case Kind::kSendMessage:
      if (const void* name = what.message->msg_name) {
        const InetAddress to(static_cast<const sockaddr*>(name));
        return Socket::send_datagram(socket, to, {what.message->msg_iov, what.message->msg_iovlen},
                                     flags, &request);
      }
      return Socket::send_pieces(socket, {what.message->msg_iov, what.message->msg_iovlen}, flags,
                                 &request);
    default:
      return Socket::request_receive(socket, request);
  }
}

// Two channels may be concerned, whose locks are never held at once: so the request is begun in
// its queue, handed to the socket, and forgotten if that does not take it.
int queue_on_socket(aio_cb& block, const Operation& what) {
  Request* request;
  {
    const QueueGuard queue = QueueGuard::of(block.aio_sigevent);
    if (!queue) return -EBADF;
    request = queue->begin(block, what);
    if (request == nullptr) return -EAGAIN;
  }
  int result = -EBADF;
  std::exception_ptr thrown;
  if (SocketGuard socket = SocketGuard::of(what.fd)) {
    Channel& channel = *socket.channel();
    request->enter(channel);
    try {
      result = hand_to(socket, *request);
    } catch (...) {
      thrown = std::current_exception();
    }
    if (result != 0) request->leave();
  }
  if (result != 0) QueueGuard::of(*request)->forget(*request);
  if (thrown) std::rethrow_exception(thrown);
  return result;
}

}  // namespace

int queue_request(aio_cb& block, const Operation& what) {
  if (what.on_socket) return queue_on_socket(block, what);
  const QueueGuard queue = QueueGuard::of(block.aio_sigevent);
  return queue ? queue->start(block, what) : -EBADF;
}

void look_at_request(const aio_cb& block) {
  if (SocketGuard socket = SocketGuard::of(block.aio_fildes)) {
    socket.channel()->progress();
  } else if (QueueGuard queue = QueueGuard::of(block.aio_sigevent)) {
    queue.look();
  }
}

int cancel_request(const aio_cb& block) {
  const uint64_t handle = ControlBlock(block).handle();
  if (SocketGuard socket = SocketGuard::of(block.aio_fildes)) {
    Request* const request = Request::find(handle);
    if (request != nullptr && socket->withdraw(*request)) {
      request->received(*socket, nullptr, -ECANCELED);
      socket.channel()->changed();  // somebody may be waiting there for it
    }
  } else if (const QueueGuard queue = QueueGuard::of(block.aio_sigevent)) {
    queue->cancel(handle);
  }
  return 0;
}

void cancel_later(uint64_t handle, Channel* channel) noexcept {
  try {
    ControlThread::instance().at(Clock::now() + kCancelAgain, [handle, channel] {
      const QueueGuard queue = QueueGuard::of(channel);
      // One that is under way keeps its queue.
      if (const Request* const request = Request::find(handle)) request->queue()->cancel(handle);
    });
  } catch (const std::exception& error) {
    LOG_ERROR("a request is not asked again to end: %s", error.what());
  }
}

}  // namespace sio::internal
