// SPDX-License-Identifier: BSD-2-Clause
//
// The requests whose ends are told in one place: a channel (channel_queue.h), or by the control
// thread (loose_queue.h). Used under that place's lock.
//
// A request counts until its end was told, and there are AIO_CB_MAX at most; so what has ended and
// waits (for room in the channel's ring, for the control thread) is bounded, and is never dropped.
#pragma once

#include <sio/aio.h>

#include <optional>

#include "aio/operation.h"
#include "aio/request.h"
#include "aio/uring.h"

namespace sio::internal {

class RequestQueue {
 public:
  virtual ~RequestQueue();

  // A request that a socket is to carry out. NULL: there are too many. Throws std::bad_alloc.
  Request* begin(aio_cb& block, const Operation& what);
  // It was not queued after all.
  void forget(Request& request) noexcept;
  // One that the kernel carries out: 0 or -errno. Throws std::system_error.
  int start(aio_cb& block, const Operation& what);

  // Has the kernel end it early, if it is still under way.
  void cancel(uint64_t handle) noexcept;
  // Takes what the kernel has ended. True if there was anything.
  bool take_ended() noexcept;
  // A socket has ended it. Not under this queue's lock, but that of the socket's channel.
  virtual void conclude(Request& request, const Channel& of_socket) noexcept = 0;

  // The ring's descriptor; -1: there is none yet.
  int ring_fd() const noexcept { return ring_ ? ring_->fd() : -1; }
  bool any_under_way() const noexcept { return under_way_ > 0; }

 protected:
  explicit RequestQueue(Channel* channel) noexcept : channel_(channel) {}

  // Makes sure of the ring. Throws.
  void open_ring();
  // Its end is told from now on.
  void end(Request& request) noexcept;
  // And has been.
  void recycle(Request& request) noexcept;

 private:
  // Sees to it that take_ended() is called when that is readable. Throws.
  virtual void watch(int fd) = 0;
  // A ring whose thread serves this one's too; -1: none.
  virtual int ring_to_join() = 0;
  virtual void tell(Request& request) noexcept = 0;

  Channel* const channel_;
  std::optional<Uring> ring_;
  Completions free_;        // of those that are this queue's
  unsigned counted_ = 0;    // not told yet
  unsigned under_way_ = 0;  // not ended yet
};

}  // namespace sio::internal
