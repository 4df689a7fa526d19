// SPDX-License-Identifier: BSD-2-Clause
//
// The word that says who owns a received message.
//
//   31..8 length in bytes   7 releasing   6..0 count: 0 not held, 1 held, 1+n held with n flights
//
// `releasing` as in block.h. The length stands here since nothing in the slot can be trusted: the
// program may write there, and a release must name the length.
#pragma once

#include <cstdint>

namespace sio::internal::piece {

inline constexpr uint32_t kMaxLength = 0xffffff;
inline constexpr uint32_t kMaxFlights = 126;

inline constexpr uint32_t kReleasing = 0x80;
inline constexpr uint32_t kCount = 0x7f;

// Held, without a flight.
constexpr uint32_t held(uint32_t length) noexcept { return length << 8 | 1; }
constexpr uint32_t count(uint64_t word) noexcept { return static_cast<uint32_t>(word) & kCount; }
constexpr uint32_t length(uint64_t word) noexcept { return static_cast<uint32_t>(word) >> 8; }

// The word of a lone message has above that 32 bits of its address, which is whole lines of 64
// bytes: a record may have become another region's since it was looked for, and who names one
// address must not take the message of another, not even to put it back.
constexpr uint64_t lone(uintptr_t address, uint32_t word) noexcept {
  return static_cast<uint64_t>(address) >> 6 << 32 | word;
}

}  // namespace sio::internal::piece
