// SPDX-License-Identifier: BSD-2-Clause
//
// The record of a block: a run of 64-byte lines of an area with one owner.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sio::internal {

class FreeLists;
class Region;

inline constexpr size_t kLine = 64;  // bytes

// The state word:  63..32 sequence   31..16 flights   9 received   8 releasing   7..0 kind
//
//   kFree      the area's, or free in a pool of receive memory; the whole word is 0
//   kReserved  the program's, or with flights > 0 the library's. `releasing`: a send that was to
//              release it has ended; when the last flight ends the block is freed
//   kFreeing   on its way to kFree: one thread has taken it from kReserved and will merge it
//   kRegion    receive memory: its slots know more
//   kPosted    of a pool: a message is to land there. Then it is kReserved and `received`
//
// kFree -> kReserved -> kFreeing -> kFree, kFree -> kRegion -> kFree, kFree -> kPosted -> kReserved
// or kFree. Only kReserved -> kReserved (flights) and kReserved -> kFreeing go without the area's
// mutex.
namespace block_state {

enum Kind : uint8_t { kFree = 0, kReserved = 1, kFreeing = 2, kRegion = 3, kPosted = 4 };

inline constexpr uint64_t kReleasing = 1u << 8;
inline constexpr uint64_t kReceived = 1u << 9;
inline constexpr uint64_t kFlight = 1u << 16;
inline constexpr uint32_t kMaxFlights = 0xffff;

constexpr uint64_t make(Kind kind, uint32_t sequence) noexcept {
  return uint64_t{sequence} << 32 | kind;
}
constexpr Kind kind(uint64_t state) noexcept { return static_cast<Kind>(state & 0xff); }
constexpr uint32_t flights(uint64_t state) noexcept {
  return static_cast<uint32_t>(state >> 16) & kMaxFlights;
}
// Nothing but the program's: neither in flight nor about to be released.
constexpr bool at_rest(uint64_t state) noexcept {
  return (state & 0xffffffffu & ~kReceived) == static_cast<uint64_t>(kReserved);
}
constexpr uint64_t freeing(uint64_t state) noexcept {
  return (state & ~uint64_t{0xffffffffu}) | kFreeing;
}

}  // namespace block_state

// A cache line each, so that threads with neighbouring blocks do not slow each other down.
struct alignas(64) Block {
  std::atomic<uint64_t> state;
  std::atomic<uint64_t> bytes;  // as asked for; kReserved and kRegion
  std::atomic<Region*> region;  // kRegion
  std::atomic<uint32_t> start;  // first line; constant while in use
  // Under the area's mutex:
  uint32_t lines;
  uint32_t next;  // in its free list, or in that of unused records; 0: the last
  uint32_t previous;
  FreeLists* home;  // where it is listed when it is free
};

}  // namespace sio::internal
