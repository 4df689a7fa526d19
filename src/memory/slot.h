// SPDX-License-Identifier: BSD-2-Clause
//
// The records of a region's slots, and the word through which slots return.
#pragma once

#include <atomic>
#include <cstdint>

namespace sio::internal {

class Region;

inline constexpr uint32_t kNoSlot = UINT32_MAX;

// A cache line each: messages of one socket may be released by many threads.
struct alignas(64) Slot {
  static constexpr uint64_t kReference = 1;
  static constexpr uint64_t kFlight = uint64_t{1} << 32;  // counted beside its reference

  static constexpr uint32_t references(uint64_t refs) noexcept {
    return static_cast<uint32_t>(refs);
  }
  static constexpr uint32_t flights(uint64_t refs) noexcept {
    return static_cast<uint32_t>(refs >> 32);
  }

  // What is in it: one message, a train of them, or bytes of a stream.
  enum class Use : uint8_t { kLone, kTrain, kBytes };

  std::atomic<uint64_t> refs{0};
  std::atomic<uint64_t> stretch{0};  // stretch.h; of kBytes
  std::atomic<uint64_t> lone{0};     // piece.h, lone(); of kLone
  std::atomic<Use> use{Use::kLone};  // set by arrived(), stands still while there are references
  bool decoding = false;             // between arrived() and finish(); the library's side only
  uint32_t next = 0;                 // of a returned slot
};

// Never freed, nor are its slots. While a region has it, owner is that region.
struct SlotArray {
  const uint32_t capacity;
  Slot* const slots;
  std::atomic<Region*> owner{nullptr};
};

// An array for `slots` or a few more, all references and messages 0. Throws
// std::bad_alloc.
SlotArray* take_slot_array(uint32_t slots);
void give_back_slot_array(SlotArray* array) noexcept;

// The word of returned slots:
//   63 detached   62 notified   61 watched   60..32 count   31..0 1 + first, 0: none
//
// attached: a stack of `count` returned slots, linked by Slot::next. Many push; the one that
//   collects takes all at once, so a slot can not leave and come back under a pusher's feet.
//   `notified`: on_returned was called for them; `watched`: it is to be called for the first one
// detached: `count` received slots are still to come; whoever counts it to 0 frees the region
namespace returns {

inline constexpr uint64_t kDetached = uint64_t{1} << 63;
inline constexpr uint64_t kNotified = uint64_t{1} << 62;
inline constexpr uint64_t kWatched = uint64_t{1} << 61;
inline constexpr uint64_t kOne = uint64_t{1} << 32;

constexpr uint32_t count(uint64_t word) noexcept {
  return static_cast<uint32_t>(word >> 32) & 0x1fffffff;
}
constexpr uint32_t first(uint64_t word) noexcept { return static_cast<uint32_t>(word) - 1; }
static_assert(first(0) == kNoSlot);

// `word` with one more slot on top.
constexpr uint64_t pushed(uint64_t word, uint32_t slot) noexcept {
  return ((word + kOne) & ~uint64_t{0xffffffff}) | (slot + 1);
}
constexpr uint64_t detached(uint32_t count) noexcept { return kDetached | count * kOne; }

}  // namespace returns

}  // namespace sio::internal
