// SPDX-License-Identifier: BSD-2-Clause
//
// Relaxed everywhere: a reader to whom the answer matters was given the member by way of the owner,
// which ordered it after the insertion; what others read is checked by them.
#include "memory/bitmap.h"

#include <bit>

#include "memory/order.h"

namespace sio::internal {
namespace {

constexpr size_t words_of_level(size_t bits) noexcept { return (bits + 63) / 64; }

constexpr uint64_t bit(size_t x) noexcept { return uint64_t{1} << (x % 64); }

// The bits of a word up to that of x.
constexpr uint64_t up_to(size_t x) noexcept { return ~uint64_t{0} >> (63 - x % 64); }

constexpr uint64_t below(size_t x) noexcept { return bit(x) - 1; }

size_t highest(uint64_t word) noexcept { return static_cast<size_t>(std::bit_width(word)) - 1; }

}  // namespace

size_t Bitmap::words_for(uint32_t n) noexcept {
  size_t total = 0;
  size_t level = n;
  do {
    level = words_of_level(level);
    total += level;
  } while (level > 1);
  return total;
}

Bitmap::Bitmap(Word* words, uint32_t n) noexcept {
  size_t level = n;
  do {
    level = words_of_level(level);
    levels_[depth_++] = words;
    words += level;
  } while (level > 1);
}

void Bitmap::insert(uint32_t x) noexcept {
  size_t at = x;
  for (unsigned level = 0; level < depth_; ++level) {
    Word& word = levels_[level][at / 64];
    const uint64_t old = word.load(kRelaxed);
    word.store(old | bit(at), kRelaxed);
    if (old != 0) return;  // the levels above know
    at /= 64;
  }
}

void Bitmap::erase(uint32_t x) noexcept {
  size_t at = x;
  for (unsigned level = 0; level < depth_; ++level) {
    Word& word = levels_[level][at / 64];
    const uint64_t rest = word.load(kRelaxed) & ~bit(at);
    word.store(rest, kRelaxed);
    if (rest != 0) return;
    at /= 64;
  }
}

uint32_t Bitmap::find_at_or_below(uint32_t x) const noexcept {
  size_t at = x;
  uint64_t word = levels_[0][at / 64].load(kRelaxed) & up_to(at);
  unsigned level = 0;
  // Up, until there is something before our own place...
  while (word == 0) {
    if (++level == depth_) return kNone;
    at /= 64;
    word = levels_[level][at / 64].load(kRelaxed) & below(at);
  }
  // ...and down again, always to the last.
  at = at / 64 * 64 + highest(word);
  while (level > 0) {
    --level;
    word = levels_[level][at].load(kRelaxed);
    if (word == 0) return kNone;  // erased meanwhile: not what a member's owner sees
    at = at * 64 + highest(word);
  }
  return static_cast<uint32_t>(at);
}

}  // namespace sio::internal
