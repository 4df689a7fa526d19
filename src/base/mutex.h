// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <atomic>
#include <cstdint>

namespace sio::internal {

// A mutex for what every message passes: where nobody else wants it, it is one instruction to take
// and one to give back, within the caller. (A std::mutex takes 80 for the two.)
class Mutex {
 public:
  Mutex() noexcept = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  [[gnu::always_inline]] void lock() noexcept {
    if (!try_lock()) wait();
  }
  [[gnu::always_inline]] bool try_lock() noexcept {
    uint32_t state = kFree;
    return state_.compare_exchange_strong(state, kTaken, std::memory_order_acquire,
                                          std::memory_order_relaxed);
  }
  [[gnu::always_inline]] void unlock() noexcept {
    if (state_.fetch_sub(1, std::memory_order_release) != kTaken) wake();
  }
  // Somebody may sleep until it is given back.
  bool is_waited_for() const noexcept {
    return state_.load(std::memory_order_relaxed) == kWaitedFor;
  }

 private:
  // kWaitedFor: it is taken, and somebody may sleep until it is not.
  static constexpr uint32_t kFree = 0;
  static constexpr uint32_t kTaken = 1;
  static constexpr uint32_t kWaitedFor = 2;

  [[gnu::cold]] void wait() noexcept;
  [[gnu::cold]] void wake() noexcept;

  std::atomic<uint32_t> state_{kFree};
};

}  // namespace sio::internal
