// SPDX-License-Identifier: BSD-2-Clause
#include "event/waiters.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace sio::internal {
namespace {

// 0 when woken (or the word is no longer 0), else -errno.
int futex_wait(std::atomic<uint32_t>& word, TimePoint deadline) noexcept {
  // Never without a time-out: else a handler with SA_RESTART would not end the wait as it ends that
  // of the thread in epoll_wait.
  timespec left{100'000'000, 0};
  if (deadline != kNever) left = time_until(deadline);
  const long result = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &left, nullptr, 0);
  return result == 0 || errno == EAGAIN ? 0 : -errno;
}

}  // namespace

int Waiters::wait(std::unique_lock<Mutex>& lock, WaitFor what, TimePoint deadline) noexcept {
  Waiter self(what);
  waiting_.push_back(self);
  lock.unlock();
  int result = 0;
  // Acquire is not needed for what the waker did: the lock taken below orders that.
  while (self.woken.load(std::memory_order_relaxed) == 0 && result == 0) {
    result = futex_wait(self.woken, deadline);
  }
  lock.lock();
  // Woken after all while the lock was being taken: the wake-up must not be lost.
  if (self.woken.load(std::memory_order_relaxed) != 0) return 0;
  waiting_.erase(waiting_.iterator_to(self));
  return result;
}

void Waiters::wake(Waiter& waiter) noexcept {
  waiting_.erase(waiting_.iterator_to(waiter));
  // The waiter's frame lives on until it has our lock, so the word is there for the futex call.
  waiter.woken.store(1, std::memory_order_relaxed);
  syscall(SYS_futex, &waiter.woken, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

bool Waiters::wake_one(WaitFor what) noexcept {
  for (Waiter& waiter : waiting_) {
    if (waiter.what != what) continue;
    wake(waiter);
    return true;
  }
  return false;
}

}  // namespace sio::internal
