// SPDX-License-Identifier: BSD-2-Clause
//
// Regions: making, ending, and the library's side. The program's side is in region_data.cc.
// Relaxed is what stands still while it is looked at, or is ordered by the slot's reference count.
#include "memory/region.h"

#include <sched.h>

#include "base/error.h"
#include "base/stable_pool.h"
#include "memory/order.h"
#include "memory/piece.h"
#include "memory/tables.h"

namespace sio::internal {
namespace {

// Never destroyed: a program may release its last message after main.
StablePool<Region>& regions() {
  static auto* pool = new StablePool<Region>;
  return *pool;
}

void check_geometry(size_t bytes, size_t most_bytes, uint32_t slot_size, uint32_t slots) {
  const bool good = slots > 0 && slot_size > 0 && slot_size % kLine == 0 &&
                    slot_size <= piece::kMaxLength && size_t{slots} * slot_size <= bytes &&
                    bytes < most_bytes;
  if (!good) throw_errno(EINVAL, "slots of receive memory");
}

}  // namespace

Region* Region::create(Area& area, size_t bytes, uint32_t slot_size, uint32_t slots) {
  check_geometry(bytes, kMostBytes, slot_size, slots);
  Region* region = regions().take();
  SlotArray* array = nullptr;
  int error = -ENOMEM;
  try {
    array = take_slot_array(slots);
    region->open(area, array, slot_size, slots);
    error = region->take_block(bytes);
  } catch (const std::bad_alloc&) {
  }
  if (error == 0) return region;
  if (array != nullptr) give_back_slot_array(array);
  regions().give_back(region);
  throw_errno(error == -EMSGSIZE ? ENOBUFS : -error, "receive memory");
}

// All slots are posted: their references are 0, so nobody gets beyond the count of references
// (invariant 2) until the first arrived().
void Region::open(Area& area, SlotArray* array, uint32_t slot_size, uint32_t slots) noexcept {
  count_ = slots;
  received_ = 0;
  taken_ = kNoSlot;
  taken_count_ = 0;
  array->owner.store(this, kRelaxed);
  area_.store(&area, kRelaxed);
  slot_size_.store(slot_size, kRelaxed);
  slots_per_byte_.store(UINT64_MAX / slot_size + 1, kRelaxed);
  set_on_returned(nullptr, nullptr, 0);
  // Release: a stranger that sees the array sees it made.
  array_.store(array, std::memory_order_release);
}

int Region::take_block(size_t bytes) noexcept {
  uint32_t block;
  char* base;
  if (const int error = area().take_for_region(bytes, this, block, &base)) return error;
  block_.store(block, kRelaxed);
  base_.store(reinterpret_cast<uintptr_t>(base), kRelaxed);
  pieces_.store(area().blocks_.pieces_of(area().blocks_.at(block)), kRelaxed);
  // Sequentially consistent, in this order: call_on_returned() reads them the other way round, so
  // one that sees the new life attached sees that it is not the one it comes from.
  incarnation_.fetch_add(1, std::memory_order_seq_cst);
  returns_.store(0, std::memory_order_seq_cst);
  return 0;
}

void Region::set_on_returned(void (*fn)(void*), void* arg, uint32_t threshold) noexcept {
  on_returned_.store(fn, kRelaxed);
  on_returned_arg_.store(arg, kRelaxed);
  threshold_.store(threshold, kRelaxed);
}

void Region::arrived(uint32_t i, bool train) noexcept {
  begin_use(i, train ? Slot::Use::kTrain : Slot::Use::kLone);
}

void Region::begin_use(uint32_t i, Slot::Use use) noexcept {
  Slot& slot = record(i);
  slot.decoding = true;
  slot.use.store(use, kRelaxed);
  ++received_;
  // Release: whoever pins the slot sees what it holds. The count was 0, nobody else changes it.
  slot.refs.store(Slot::kReference, std::memory_order_release);
}

void Region::hand_out(uint32_t i, uint32_t offset, uint32_t len) noexcept {
  Slot& slot = record(i);
  // Relaxed: the decoder's reference keeps the slot; the message's must only be there before
  // anybody can release it.
  slot.refs.fetch_add(Slot::kReference, kRelaxed);
  // Release: whoever takes the message sees its reference.
  if (slot.use.load(kRelaxed) == Slot::Use::kTrain) return hand_out_prepared(i, offset, len);
  slot.lone.store(lone_held(i, len), std::memory_order_release);
}

void Region::finish(uint32_t i) noexcept {
  record(i).decoding = false;
  drop(i, Slot::kReference, false);
}

void Region::take_back(uint32_t i, uint32_t offset) noexcept {
  if (record(i).use.load(kRelaxed) == Slot::Use::kBytes) {
    if (take_bytes_back(record(i))) drop(i, Slot::kReference, false);
    return;
  }
  const bool gone = with_word(record(i), granule_of(i, offset), [](auto& word) {
    auto old = word.load(kRelaxed);
    auto next = old;
    do {
      // Not held, or in flight: by a program that used an address it was never given.
      if (piece::count(old) == 0) return false;
      next = piece::count(old) == 1 ? 0 : old | piece::kReleasing;
      // Acquire and release: as in release().
    } while (!word.compare_exchange_weak(old, next, std::memory_order_acq_rel, kRelaxed));
    return next == 0;
  });
  if (gone) drop(i, Slot::kReference, false);
}

int Region::collect(uint32_t* slots, int max) noexcept {
  const Slot* const records = array_.load(kRelaxed)->slots;
  int n = 0;
  do {
    const int before = n;
    uint32_t next = taken_;
    for (; next != kNoSlot && n < max; next = records[next].next) slots[n++] = next;
    taken_ = next;
    taken_count_ -= static_cast<uint32_t>(n - before);
  } while (n < max && take_returned());
  received_ -= static_cast<uint32_t>(n);
  return n;
}

bool Region::take_returned() noexcept {
  // Mostly so; the next call will see what comes.
  if (returns::count(returns_.load(kRelaxed)) == 0) return false;
  // Acquire: the slots' links, and all that was done with them before they returned.
  const uint64_t word = returns_.exchange(0, std::memory_order_acquire);
  taken_ = returns::first(word);
  taken_count_ = returns::count(word);
  return true;
}

uint32_t Region::returned() const noexcept {
  return taken_count_ + returns::count(returns_.load(kRelaxed));  // relaxed: a number, no more
}

bool Region::watch() noexcept {
  if (taken_count_ > 0) return true;
  uint64_t word = returns_.load(kRelaxed);
  // Relaxed, both: whether something came before the mark or sees it is the order of one word.
  if ((word & returns::kWatched) == 0) word = returns_.fetch_or(returns::kWatched, kRelaxed);
  return returns::count(word) > 0;
}

void Region::detach() noexcept {
  for (uint32_t i = 0; i < count_; ++i) {
    if (record(i).decoding) finish(i);
  }
  // How many slots are yet to return, and one for ourselves: the region must not die and come to
  // life for somebody else while we wait below.
  uint64_t word = returns_.load(kRelaxed);
  uint64_t next;
  do {
    next = returns::detached(received_ - taken_count_ - returns::count(word) + 1);
    // Sequentially consistent: see call_on_returned().
  } while (!returns_.compare_exchange_weak(word, next, std::memory_order_seq_cst));
  while (callers_.load(std::memory_order_seq_cst) != 0) sched_yield();
  end_detached();
}

void Region::end_detached() noexcept {
  // Release: all that this thread did with the slot comes before the region's end. Acquire: the
  // last one sees it.
  const uint64_t old = returns_.fetch_sub(returns::kOne, std::memory_order_acq_rel);
  if (returns::count(old) == 1) die();
}

// Nobody has a reference, so nobody relies on what changes from here on.
void Region::die() noexcept {
  area().give_back(block_.load(kRelaxed));
  give_back_slot_array(array_.load(kRelaxed));
  regions().give_back(this);
}

void Region::stat(size_t& received, size_t& in_flight) const noexcept {
  for (uint32_t i = 0; i < count_; ++i) {
    const uint64_t refs = record(i).refs.load(kRelaxed);  // the one look at it
    if (Slot::flights(refs) > 0) {
      in_flight += slot_size();
    } else if (Slot::references(refs) > 0) {
      received += slot_size();
    }
  }
}

}  // namespace sio::internal
