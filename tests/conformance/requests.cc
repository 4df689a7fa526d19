// SPDX-License-Identifier: BSD-2-Clause
#include "conformance/requests.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

namespace sio::test {
namespace {

void tell(sigval value) {
  auto* const called = static_cast<Called*>(value.sival_ptr);
  called->thread = pthread_self();
  pthread_attr_t own;
  pthread_getattr_np(pthread_self(), &own);
  pthread_attr_getstacksize(&own, &called->stack);
  pthread_attr_destroy(&own);
  called->called = true;
}

}  // namespace

aio_cb on(int fd, void* buf, size_t size, off_t offset) {
  aio_cb block{};
  block.aio_fildes = fd;
  block.aio_buf = buf;
  block.aio_nbytes = size;
  block.aio_offset = offset;
  block.aio_sigevent.sigev_notify = SIGEV_NONE;
  return block;
}

aio_cb told_in(const Channel& channel, aio_cb block) {
  block.aio_sigevent.sigev_notify = SIGEV_EC;
  block.aio_sigevent.sigev_ec = channel.get();
  return block;
}

aio_cb with(msghdr& message, aio_cb block) {
  block.aio_msghdr = &message;
  return block;
}

int suspend(const std::vector<const aio_cb*>& list, milliseconds limit) {
  const timespec time = to_timespec(limit);
  return aio_cb_suspend(list.data(), static_cast<int>(list.size()), &time) == 0 ? 0 : errno;
}

ssize_t outcome(aio_cb& block) {
  const int error = suspend({&block});
  if (error != 0) fail("aio_cb_suspend: %s", std::strerror(error));
  if (aio_cb_error(&block) == EINPROGRESS) fail("aio_cb_suspend: 0, and nothing has ended");
  const ssize_t result = aio_cb_return(&block);
  return result >= 0 ? result : -aio_cb_error(&block);
}

Fd file_in_memory() { return Fd(must(memfd_create("aio", MFD_CLOEXEC), "memfd_create")); }

namespace {

int by_request(int fd, int (*call)(aio_cb* block)) {
  char text[] = "x";
  iovec piece{text, 1};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  aio_cb block = with(message, on(fd, text, 1));
  const int result = call(&block);
  if (result == 0) outcome(block);
  return result;
}

}  // namespace

int send_by_request(int fd) {
  return by_request(fd, [](aio_cb* block) { return aio_send(block, 0); });
}

int write_by_request(int fd) { return by_request(fd, aio_write_ec); }

int sendmsg_by_request(int fd) {
  return by_request(fd, [](aio_cb* block) { return aio_sendmsg(block, 0); });
}

Ends kernel_sockets(int type) {
  int fds[2];
  must(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), "socketpair");
  return {Fd(fds[0]), Fd(fds[1])};
}

Ends a_pipe() {
  int fds[2];
  must(pipe2(fds, O_CLOEXEC), "pipe2");
  return {Fd(fds[1]), Fd(fds[0])};
}

// Asked in a thread of its own, since the end of a ring interrupts the thread that made it.
bool no_uring() {
  bool forbidden = false;
  std::thread([&] {
    const long fd = syscall(SYS_io_uring_setup, 1, std::array<char, 120>{}.data());
    forbidden = fd < 0;
    if (fd >= 0) ::close(static_cast<int>(fd));
  }).join();
  return forbidden;
}

aio_cb Called::told_by(aio_cb block) {
  block.aio_sigevent.sigev_notify = SIGEV_THREAD;
  block.aio_sigevent.sigev_value.sival_ptr = this;
  block.aio_sigevent.sigev_notify_function = tell;
  return block;
}

}  // namespace sio::test
