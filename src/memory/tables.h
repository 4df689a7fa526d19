// SPDX-License-Identifier: BSD-2-Clause
//
// What is known of an area, kept beside it: sparse tables that are never unmapped, so that a reader
// without a lock, and even one without any business there, reads something.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "memory/bitmap.h"
#include "memory/block.h"
#include "memory/mapping.h"

namespace sio::internal {

inline constexpr size_t kGranule = 8;  // bytes: what messages of a train are aligned to
inline constexpr size_t kGranulesPerLine = kLine / kGranule;

// All zero when new and after clear(). About 100 bytes of address space per line, of which memory
// is taken where there are blocks and messages of trains. Never destroyed.
class Tables {
 private:
  Mapping mapping_;
  const Tables* const previous_;

 public:
  // `previous`: the smaller one that this one replaces. Readers may still look at it, so it stays,
  // and stays reachable. Throws ENOMEM.
  Tables(uint32_t lines, const Tables* previous);

  void clear() noexcept { mapping_.clear(); }
  const Tables* previous() const noexcept { return previous_; }

  const uint32_t capacity;                // lines
  Block* const blocks;                    // [capacity + 1]; 0 is no block
  std::atomic<uint32_t>* const block_at;  // [capacity] the block that starts at a line, or 0
  std::atomic<uint32_t>* const pieces;    // [capacity * kGranulesPerLine] see piece.h
  Bitmap starts;                          // the lines at which a block starts
};

}  // namespace sio::internal
