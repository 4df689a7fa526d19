// SPDX-License-Identifier: BSD-2-Clause
//
// Regions of streams: slots whose bytes are handed out and released in any portions, from the
// front. The library's side under the channel's lock, the program's side on any thread, lock-free.
//
// The stretch (stretch.h) that is held counts as one message: it has one reference of the slot from
// when it begins until it is empty. Relaxed, as in region_data.cc, is what stands still.
#include <cerrno>

#include "memory/order.h"
#include "memory/region.h"
#include "memory/stretch.h"

namespace sio::internal {
void Region::arrived_bytes(uint32_t i) noexcept {
  Slot& slot = record(i);
  slot.stretch.store(0, kRelaxed);
  begin_use(i, Slot::Use::kBytes);
}

char* Region::deliver_bytes(uint32_t i, uint32_t len) noexcept {
  Slot& slot = record(i);
  slot.use.store(Slot::Use::kBytes, kRelaxed);
  ++received_;
  // As in deliver().
  slot.refs.store(Slot::kReference, std::memory_order_release);
  slot.stretch.store(stretch::held(len), std::memory_order_release);
  return this->slot(i);
}

void Region::hand_out_bytes(uint32_t i, uint32_t n, bool last) noexcept {
  Slot& slot = record(i);
  slot.refs.fetch_add(Slot::kReference, kRelaxed);  // of the stretch, if this begins one
  uint64_t old = slot.stretch.load(kRelaxed);
  uint64_t next;
  do {
    next = stretch::with(old, stretch::kEndShift, stretch::end(old) + n);
    if (last) next |= stretch::kWhole;
  } while (!slot.stretch.compare_exchange_weak(old, next, kSwap, kRelaxed));
  if (!stretch::empty(old)) drop(i, Slot::kReference, false);  // the decoder has one, so no more
}

bool Region::release_bytes(Slot& slot, uint32_t start, size_t n, bool& emptied) noexcept {
  uint64_t old = slot.stretch.load(kRelaxed);
  uint64_t next;
  do {
    if (n == 0 || start != stretch::front(old) || (old & stretch::kReleasing) != 0) return false;
    if (n > stretch::floor(old) - start) return false;
    next = stretch::with(old, stretch::kFrontShift, start + static_cast<uint32_t>(n));
    emptied = stretch::empty(next);
  } while (!slot.stretch.compare_exchange_weak(old, next, kSwap, kRelaxed));
  return true;
}

int Region::begin_bytes_flight(Slot& slot, uint32_t start, size_t n, bool whole) noexcept {
  uint64_t old = slot.stretch.load(kRelaxed);
  uint64_t next;
  do {
    if (stretch::empty(old) || (old & stretch::kReleasing) != 0) return -EFAULT;
    if (start < stretch::front(old) || start > stretch::end(old)) return -EFAULT;
    if (n > stretch::end(old) - start) return -EFAULT;
    // Only of the whole is it sure that nothing will be handed out behind it.
    const bool is_whole = (old & stretch::kWhole) != 0 && start == stretch::front(old) &&
                          n == stretch::end(old) - start;
    if (whole && !is_whole) return -EINVAL;
    if (stretch::flights(old) == stretch::kMaxFlights) return -EAGAIN;
    next = stretch::with_flight(old, start);
  } while (!slot.stretch.compare_exchange_weak(old, next, kSwap, kRelaxed));
  return 0;
}

bool Region::end_bytes_flight(Slot& slot, bool release) noexcept {
  uint64_t old = slot.stretch.load(kRelaxed);
  uint64_t next;
  do {
    next = stretch::without_flight(old, release);
  } while (!slot.stretch.compare_exchange_weak(old, next, kSwap, kRelaxed));
  return stretch::empty(next);
}

bool Region::take_bytes_back(Slot& slot) noexcept {
  uint64_t old = slot.stretch.load(kRelaxed);
  uint64_t next;
  do {
    // Released, or in flight: by a program that used an address it was never given.
    if (stretch::empty(old)) return false;
    next = stretch::flights(old) > 0 ? old | stretch::kReleasing
                                     : stretch::with(old, stretch::kFrontShift, stretch::end(old));
  } while (!slot.stretch.compare_exchange_weak(old, next, kSwap, kRelaxed));
  return stretch::empty(next);
}

}  // namespace sio::internal
