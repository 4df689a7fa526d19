// SPDX-License-Identifier: BSD-2-Clause
#include "base/mutex.h"

namespace sio::internal {

// Who has slept takes it as waited for, since others may sleep on. Whoever gives it back then wakes
// one of them, or nobody.
void Mutex::wait() noexcept {
  while (state_.exchange(kWaitedFor, std::memory_order_acquire) != kFree) {
    state_.wait(kWaitedFor, std::memory_order_relaxed);
  }
}

// It still seems to be taken, so whoever came meanwhile has marked it again, and sleeps or will.
void Mutex::wake() noexcept {
  state_.store(kFree, std::memory_order_release);
  state_.notify_one();
}

}  // namespace sio::internal
