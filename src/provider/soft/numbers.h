// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <atomic>
#include <cstdint>
#include <random>

namespace sio::internal::provider::soft {

// Of queue pairs: 24 bits, as those of verbs, where 0 and 1 are special. Another process begins
// elsewhere.
inline uint32_t next_number() noexcept {
  static std::atomic<uint32_t> last{std::random_device{}()};
  constexpr uint32_t kHowMany = (1u << 24) - 2;
  return last.fetch_add(1, std::memory_order_relaxed) % kHowMany + 2;
}

// Of endpoints, of either kind: from 1, and never used twice.
inline uint64_t next_serial() noexcept {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace sio::internal::provider::soft
