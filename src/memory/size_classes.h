// SPDX-License-Identifier: BSD-2-Clause
//
// The classes by which free blocks are listed (as in TLSF): sizes below 16 lines have a class each,
// each further power of two is cut into 16. The largest block of a class is less than 1/16 larger
// than the smallest.
#pragma once

#include <bit>
#include <cstdint>

namespace sio::internal {

inline constexpr uint32_t kSizeClasses = 464;  // for sizes up to 2^32 - 1

// The class that a block of `lines` is listed in. lines > 0.
constexpr uint32_t class_of(uint32_t lines) noexcept {
  if (lines < 16) return lines;
  const auto shift = static_cast<uint32_t>(std::bit_width(lines)) - 5;
  return (shift + 1) * 16 + (lines >> shift) % 16;
}

// The first class all of whose blocks have `lines` or more.
constexpr uint32_t class_that_fits(uint32_t lines) noexcept {
  if (lines < 16) return lines;
  const auto shift = static_cast<uint32_t>(std::bit_width(lines)) - 5;
  const bool smallest = (lines & ((1u << shift) - 1)) == 0;
  return class_of(lines) + (smallest ? 0 : 1);
}

static_assert(class_of(15) == 15 && class_of(16) == 16 && class_of(31) == 31);
static_assert(class_of(32) == 32 && class_of(33) == 32 && class_of(34) == 33);
static_assert(class_that_fits(33) == 33 && class_that_fits(34) == 33);
static_assert(class_of(UINT32_MAX) == kSizeClasses - 1);

}  // namespace sio::internal
