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
constexpr uint32_t count(uint32_t word) noexcept { return word & kCount; }
constexpr uint32_t length(uint32_t word) noexcept { return word >> 8; }

}  // namespace sio::internal::piece
