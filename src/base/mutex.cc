// SPDX-License-Identifier: BSD-2-Clause
#include "base/mutex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace sio::internal {
namespace {

// Looks whether it has been given back, before the thread sleeps: mostly it is held for less time
// than a call to the kernel takes.
constexpr int kLooks = 16;

// Tells the processor that somebody else is waited for.
void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// std::atomic's wait() yields four times before it sleeps, to threads that may not have the lock,
// and then asks for a futex that processes could share, for which the kernel looks up the page.
void futex(std::atomic<uint32_t>& word, int operation, uint32_t value) noexcept {
  syscall(SYS_futex, &word, operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0);
}

}  // namespace

// Who has slept takes it as waited for, since others may sleep on. Whoever gives it back then wakes
// one of them, or nobody. To the caller that is no call that could have set errno.
void Mutex::wait() noexcept {
  for (int looks = 0; looks < kLooks; ++looks) {
    relax();
    if (state_.load(std::memory_order_relaxed) == kFree && try_lock()) return;
  }
  const int before = errno;
  while (state_.exchange(kWaitedFor, std::memory_order_acquire) != kFree) {
    futex(state_, FUTEX_WAIT, kWaitedFor);  // not if it is another by now
  }
  errno = before;
}

// It still seems to be taken, so whoever came meanwhile has marked it again, and sleeps or will.
void Mutex::wake() noexcept {
  state_.store(kFree, std::memory_order_release);
  futex(state_, FUTEX_WAKE, 1);
}

}  // namespace sio::internal
