// SPDX-License-Identifier: BSD-2-Clause
//
// The short way of a lone message that the program gives back. It is part of sio_release, all of
// it (as socket/plain_send.h is of sio_send). Any thread, at any time, with any pointer; lock-free.
#pragma once

#include "memory/area.h"
#include "memory/order.h"
#include "memory/piece.h"
#include "memory/region.h"

namespace sio::internal {

// Where p lies, with a reference to its slot.
struct Region::Spot {
  SlotArray* array;
  Slot* record;
  uintptr_t base;  // the region's first byte, and the size of its slots
  uint32_t size;
  uint32_t slot;
  uint32_t start;  // bytes from the slot's start
};

// The quotient, if the fraction is of the same geometry; so it is to be looked whether it can be.
[[gnu::always_inline]] inline uint32_t Region::slot_of(uintptr_t offset) const noexcept {
  return static_cast<uint32_t>(
      static_cast<unsigned __int128>(offset) * slots_per_byte_.load(kRelaxed) >> 64);
}

// Where p lies, if this is a region that stands still.
[[gnu::always_inline]] inline bool Region::find_spot(const void* p, Spot& spot) const noexcept {
  SlotArray* const array = array_.load(std::memory_order_acquire);  // acquire: finds it made
  const uintptr_t base = base_.load(kRelaxed);
  const uint32_t size = slot_size();
  const uintptr_t offset = reinterpret_cast<uintptr_t>(p) - base;
  if (array == nullptr || offset >= kMostBytes) return false;
  const uint32_t slot = slot_of(offset);
  const uintptr_t start = offset - size_t{slot} * size;
  if (slot >= array->capacity || start >= size) return false;
  spot = {array, &array->slots[slot], base, size, slot, static_cast<uint32_t>(start)};
  return true;
}

// Once there is a reference to the slot: did we look at this region while it came to life or ended,
// so that the slot is another's? What stands still now decides.
[[gnu::always_inline]] inline bool Region::is_ours(const Spot& spot) const noexcept {
  return spot.array->owner.load(kRelaxed) == this && base_.load(kRelaxed) == spot.base &&
         slot_size() == spot.size;
}

// The message of that word is taken by this thread alone, with its reference.
template <typename Word>
[[gnu::always_inline]] inline bool Region::take_word(std::atomic<Word>& word, Word held) noexcept {
  if (word.load(kRelaxed) != held) return false;  // a swap in vain costs as much
  return word.compare_exchange_strong(held, 0, kSwap, kRelaxed);
}

// Without a pin: whose the message is has its reference until then. Who is asked for another's,
// since it had that memory or those records before (Area::recent_), finds no such word: the address
// in it is not the same, unless it had both.
template <typename Told, typename Other>
[[gnu::always_inline]] inline int Region::release_plain(const Area& of, const void* p, size_t n,
                                                        Told told, Other other) noexcept {
  // As find_spot(). A message was released of this region before, so there is an array.
  SlotArray* const array = array_.load(std::memory_order_acquire);
  const auto address = reinterpret_cast<uintptr_t>(p);
  const uintptr_t offset = address - base_.load(kRelaxed);
  if (&area() != &of || offset >= kMostBytes || n > piece::kMaxLength) return other();
  const uint32_t slot = slot_of(offset);
  if (slot >= array->capacity) return other();
  Slot& record = array->slots[slot];
  const uint64_t held = piece::lone(address, piece::held(static_cast<uint32_t>(n)));
  if (!take_word(record.lone, held)) return other();
  // As is_ours().
  const bool ours = array->owner.load(kRelaxed) == this &&
                    base_.load(kRelaxed) + size_t{slot} * slot_size() == address;
  if (!ours) [[unlikely]] {
    put_back(record, held);
    return other();
  }
  if (record.refs.fetch_sub(Slot::kReference, std::memory_order_acq_rel) == Slot::kReference &&
      !return_plain(record, slot)) [[unlikely]]
    return told(*this, slot);
  return 0;
}

// Pushes a slot without references where nobody is to be told of it. False: perhaps somebody is.
[[gnu::always_inline]] inline bool Region::return_plain(Slot& record, uint32_t slot) noexcept {
  uint64_t word = returns_.load(std::memory_order_relaxed);
  // With any of the marks this is more than any threshold.
  const uint64_t high = (word >> 32) + 1;
  if (high >= threshold_.load(std::memory_order_relaxed)) return false;
  record.next = returns::first(word);
  // Release: as in slot_returned().
  return returns_.compare_exchange_strong(word, high << 32 | (slot + 1), std::memory_order_acq_rel,
                                          std::memory_order_relaxed);
}

// Mostly a message of the same region as the last one. It knows itself what is in it and what the
// program owns. If that is not so the long way tells.
template <typename Told, typename Other>
[[gnu::always_inline]] inline int Area::release_plain(const void* p, size_t n, Told told,
                                                      Other other) noexcept {
  Region* const recent = recent_.load(std::memory_order_acquire);  // finds it made
  return recent != nullptr ? recent->release_plain(*this, p, n, told, other) : other();
}

}  // namespace sio::internal
