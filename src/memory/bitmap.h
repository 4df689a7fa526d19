// SPDX-License-Identifier: BSD-2-Clause
//
// A set of numbers that finds the largest member not above a given one in a few steps.
//
// Invariants
//
// 1. Level 0 has one bit per number; a bit of level n+1 says that a word of level n is not 0.
// 2. One thread at a time writes (the owner's mutex); any thread reads at any time.
// 3. A reader that knows a member m to stay, and no member to come or go in (m, x], gets m from
//    find_at_or_below(x): the words between hold no bit, that of m never becomes 0, so neither do
//    the bits above it on the higher levels. Any other reader gets some number that was a member
//    lately, or none.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sio::internal {

class Bitmap {
 public:
  using Word = std::atomic<uint64_t>;

  static constexpr uint32_t kNone = UINT32_MAX;

  // Words needed for the numbers 0 to n-1.
  static size_t words_for(uint32_t n) noexcept;

  Bitmap() noexcept = default;

  // On words_for(n) words that are all zero, or hold what another Bitmap of this n left there.
  Bitmap(Word* words, uint32_t n) noexcept;

  void insert(uint32_t x) noexcept;
  void erase(uint32_t x) noexcept;

  // kNone: there is none. x < n.
  uint32_t find_at_or_below(uint32_t x) const noexcept;

 private:
  static constexpr unsigned kMaxLevels = 6;  // 64^6 > 2^32

  std::array<Word*, kMaxLevels> levels_{};
  unsigned depth_ = 0;
};

}  // namespace sio::internal
