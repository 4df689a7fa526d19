// SPDX-License-Identifier: BSD-2-Clause
#include "aio/uring.h"

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "base/thread.h"

namespace sio::internal {
namespace {

// Milliseconds that the kernel's thread looks for more before it sleeps.
constexpr unsigned kIdle = 1;

// As read(2) does: a count that is longer is not an error.
constexpr size_t kMostBytes = 0x7ffff000;

// Its thread is one of the process's: no privilege, and no bound of its own on locked memory.
constexpr unsigned kNeeded = IORING_FEAT_NODROP | IORING_FEAT_NATIVE_WORKERS;

[[noreturn]] void throw_setup_error(int error) {
  const bool for_want = error == EMFILE || error == ENFILE || error == ENOMEM;
  throw_errno(for_want ? error : ENOSYS, "io_uring_setup");
}

}  // namespace

// 0 or -errno.
int Uring::open(unsigned most, int other) noexcept {
  io_uring_params parameters{};
  parameters.flags = IORING_SETUP_SQPOLL;
  parameters.sq_thread_idle = kIdle;
  if (other >= 0) {
    parameters.flags |= IORING_SETUP_ATTACH_WQ;
    parameters.wq_fd = static_cast<uint32_t>(other);
  }
  const int result = io_uring_queue_init_params(2 * most, &ring_, &parameters);
  if (result < 0) return result;
  if ((parameters.features & kNeeded) != kNeeded) {
    io_uring_queue_exit(&ring_);
    return -ENOSYS;
  }
  io_uring_ring_dontfork(&ring_);
  return 0;
}

Uring::Uring(unsigned most, int other) {
  struct Task {
    Uring* self;
    unsigned most;
    int other;
    int result;
  } task{this, most, other, 0};
  const auto run = [](void* argument) -> void* {
    auto* const one = static_cast<Task*>(argument);
    one->result = one->self->open(one->most, one->other);
    return nullptr;
  };
  pthread_join(start_thread("sio-aio", run, &task), nullptr);
  if (task.result < 0) throw_setup_error(-task.result);
}

io_uring_sqe* Uring::next_entry() noexcept {
  io_uring_sqe* entry;
  while ((entry = io_uring_get_sqe(&ring_)) == nullptr) io_uring_sqring_wait(&ring_);
  return entry;
}

void Uring::submit(const Operation& operation, uint64_t token) noexcept {
  using Kind = Operation::Kind;
  io_uring_sqe* const entry = next_entry();
  const auto length = static_cast<unsigned>(std::min(operation.length, kMostBytes));
  const auto offset = static_cast<uint64_t>(operation.offset);
  const auto flags = static_cast<unsigned>(operation.flags);
  switch (operation.kind) {
    case Kind::kRead:
      io_uring_prep_read(entry, operation.fd, operation.buf, length, offset);
      break;
    case Kind::kWrite:
      io_uring_prep_write(entry, operation.fd, operation.buf, length, offset);
      break;
    case Kind::kSend:
      io_uring_prep_send(entry, operation.fd, operation.buf, length, operation.flags);
      break;
    case Kind::kReceive:
      io_uring_prep_recv(entry, operation.fd, operation.buf, length, operation.flags);
      break;
    case Kind::kSendMessage:
      io_uring_prep_sendmsg(entry, operation.fd, operation.message, flags);
      break;
    case Kind::kReceiveMessage:
      io_uring_prep_recvmsg(entry, operation.fd, operation.message, flags);
      break;
  }
  entry->user_data = token;
  io_uring_submit(&ring_);
}

void Uring::cancel(uint64_t token) noexcept {
  io_uring_sqe* const entry = next_entry();
  io_uring_prep_cancel64(entry, token, 0);
  entry->user_data = token | kCancel;
  io_uring_submit(&ring_);
}

}  // namespace sio::internal
