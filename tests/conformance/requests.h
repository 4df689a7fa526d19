// SPDX-License-Identifier: BSD-2-Clause
//
// Requests of <sio/aio.h>, and what they are made on.
#pragma once

#include <pthread.h>
#include <sio/aio.h>

#include <atomic>
#include <vector>

#include "conformance/lines.h"
#include "conformance/support.h"

namespace sio::test {

// SIGEV_NONE, unless told_in() says otherwise.
aio_cb on(int fd, void* buf, size_t size, off_t offset = 0);
aio_cb told_in(const Channel& channel, aio_cb block);
aio_cb with(msghdr& message, aio_cb block);

// aio_cb_suspend: 0 or its errno.
int suspend(const std::vector<const aio_cb*>& list, milliseconds limit = kSoon);
// Waits for its end: bytes, or -errno.
ssize_t outcome(aio_cb& block);

// A byte, by a request of the call: -1 if there is none, else 0 once it has ended.
int send_by_request(int fd);     // aio_send
int write_by_request(int fd);    // aio_write_ec
int sendmsg_by_request(int fd);  // aio_sendmsg

// Ends of what the kernel makes.
struct Ends {
  Fd near;
  Fd far;
};
Ends kernel_sockets(int type = SOCK_STREAM);
Ends a_pipe();  // near is written to
Fd file_in_memory();

// A kernel without io_uring for us, or a container: nothing of this can be seen there.
bool no_uring();

// For SIGEV_THREAD: sets `value` up to point to it, and tell() as the function.
struct Called {
  std::atomic<bool> called{false};
  pthread_t thread{};
  size_t stack = 0;

  aio_cb told_by(aio_cb block);
};

}  // namespace sio::test
