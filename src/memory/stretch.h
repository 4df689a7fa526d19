// SPDX-License-Identifier: BSD-2-Clause
//
// The word that says which bytes of a stream's slot the program holds: a stretch that grows at its
// end as bytes are handed out, and shrinks at its front as they are released.
//
//   60..44 floor   43..27 end   26..10 front   8 whole   7 releasing   6..0 flights
//
//   front, end   bytes from the slot's start; nothing is held when they are equal
//   whole        what was handed out last was the last of the slot: the end stays where it is
//   floor        with flights: the first byte that one of them may have; up to there the program
//                may release
//   releasing    as in block.h
#pragma once

#include <algorithm>
#include <cstdint>

namespace sio::internal::stretch {

inline constexpr uint32_t kMaxFlights = 126;
inline constexpr uint32_t kMaxEnd = 0x1ffff;

inline constexpr uint64_t kFlights = 0x7f;
inline constexpr uint64_t kReleasing = 0x80;
inline constexpr uint64_t kWhole = 0x100;

inline constexpr unsigned kFrontShift = 10;
inline constexpr unsigned kEndShift = 27;
inline constexpr unsigned kFloorShift = 44;

constexpr uint32_t field(uint64_t word, unsigned shift) noexcept {
  return static_cast<uint32_t>(word >> shift) & kMaxEnd;
}
constexpr uint64_t with(uint64_t word, unsigned shift, uint32_t value) noexcept {
  return (word & ~(uint64_t{kMaxEnd} << shift)) | uint64_t{value} << shift;
}

constexpr uint32_t front(uint64_t word) noexcept { return field(word, kFrontShift); }
constexpr uint32_t end(uint64_t word) noexcept { return field(word, kEndShift); }
constexpr uint32_t flights(uint64_t word) noexcept {
  return static_cast<uint32_t>(word & kFlights);
}
constexpr bool empty(uint64_t word) noexcept { return front(word) == end(word); }

// Bytes [0, length), all that the slot has.
constexpr uint64_t held(uint32_t length) noexcept {
  return with(with(0, kEndShift, length), kFrontShift, 0) | kWhole;
}
// Up to there bytes may be released.
constexpr uint32_t floor(uint64_t word) noexcept {
  return flights(word) > 0 ? field(word, kFloorShift) : end(word);
}
// With a flight more, of bytes from `start` on.
constexpr uint64_t with_flight(uint64_t word, uint32_t start) noexcept {
  return with(word, kFloorShift, std::min(start, floor(word))) + 1;
}
// With a flight less; release: and what is held goes with the last one.
constexpr uint64_t without_flight(uint64_t word, bool release) noexcept {
  const uint64_t left = (word - 1) | (release ? kReleasing : 0);
  if (flights(left) > 0 || (left & kReleasing) == 0) return left;
  return with(left, kFrontShift, end(left));
}

}  // namespace sio::internal::stretch
