// SPDX-License-Identifier: BSD-2-Clause
#include "base/mutex.h"

#include <cerrno>

namespace sio::internal {

// Who has slept takes it as waited for, since others may sleep on. Whoever gives it back then wakes
// one of them, or nobody. To the caller that is no call that could have set errno.
void Mutex::wait() noexcept {
  const int before = errno;
  while (state_.exchange(kWaitedFor, std::memory_order_acquire) != kFree) {
    state_.wait(kWaitedFor, std::memory_order_relaxed);
  }
  errno = before;
}

// It still seems to be taken, so whoever came meanwhile has marked it again, and sleeps or will.
void Mutex::wake() noexcept {
  state_.store(kFree, std::memory_order_release);
  state_.notify_one();
}

}  // namespace sio::internal
