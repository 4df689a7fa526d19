// SPDX-License-Identifier: BSD-2-Clause
//
// The kernel's side of requests: a ring of io_uring, used under the lock of the queue it is of.
//
// 1. A thread of the kernel's submits (IORING_SETUP_SQPOLL), one for all rings. A thread of the
//    program's is not interrupted by what it has submitted, nor does its exit cancel that, nor does
//    a broken pipe signal it. Nor is it interrupted when the ring goes, as the thread that made it
//    would be (epoll_wait(2) then says EINTR): that is one which ends at once.
// 2. Each operation has one completion, and so has each request to cancel one, of which there is
//    one at a time for each operation. One may outlive its operation, and several uses of that; so
//    the queue of submissions may be full, until the kernel's thread, which is awake then, has
//    looked.
#pragma once

#include <liburing.h>

#include <cstdint>

#include "aio/operation.h"

namespace sio::internal {

class Uring {
 public:
  // For `most` operations at once. other: a ring whose thread is to serve this one too, or -1.
  // Throws std::system_error: ENOSYS, if the kernel or a filter does not let us; EMFILE, ENFILE,
  // ENOMEM.
  Uring(unsigned most, int other);
  ~Uring() { io_uring_queue_exit(&ring_); }
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;

  // Readable while there are completions to take.
  int fd() const noexcept { return ring_.ring_fd; }

  // token: a request's handle.
  void submit(const Operation& operation, uint64_t token) noexcept;
  void cancel(uint64_t token) noexcept;

  // Takes what has completed, without a system call: use(token, result), which is a number of bytes
  // or -errno; and missed(token): a request to cancel that has found nothing to cancel.
  template <typename Use, typename Missed>
  void take(Use use, Missed missed) noexcept {
    io_uring_cqe* completion;
    while (io_uring_peek_cqe(&ring_, &completion) == 0) {
      const uint64_t token = completion->user_data;
      const int result = completion->res;
      io_uring_cqe_seen(&ring_, completion);
      if ((token & kCancel) == 0) {
        use(token, result);
      } else if (result < 0) {
        missed(token & ~kCancel);
      }
    }
  }

 private:
  static constexpr uint64_t kCancel = 0x80000000;  // a bit that no token has

  io_uring_sqe* next_entry() noexcept;
  int open(unsigned most, int other) noexcept;

  io_uring ring_{};
};

}  // namespace sio::internal
