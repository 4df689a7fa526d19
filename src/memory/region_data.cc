// SPDX-License-Identifier: BSD-2-Clause
//
// Regions: the program's side. Any thread, at any time, with any pointer; lock-free.
// Relaxed is what stands still while it is looked at, or is checked again once it does; kSwap is of
// the words of messages and the counts of references.
#include <cerrno>

#include "memory/order.h"
#include "memory/piece.h"
#include "memory/plain_release.h"
#include "memory/region.h"
#include "memory/tables.h"

namespace sio::internal {
// The slot has no references, and until it is pushed nobody else will touch it; so the region stays
// until then as well (invariant 6).
void Region::slot_returned(uint32_t slot, bool notify) noexcept {
  const uint32_t incarnation = incarnation_.load(kRelaxed);
  const uint32_t threshold = notify ? threshold_.load(kRelaxed) : 0;
  uint64_t word = returns_.load(kRelaxed);
  uint64_t next;
  bool call;
  do {
    if ((word & returns::kDetached) != 0) return end_detached();
    record(slot).next = returns::first(word);
    next = returns::pushed(word, slot);
    const bool enough = returns::count(next) >= threshold || (word & returns::kWatched) != 0;
    call = threshold != 0 && enough && (word & returns::kNotified) == 0;
    if (call) next |= returns::kNotified;
    // Release: pairs with take_returned(). From here on the region may be gone.
  } while (!returns_.compare_exchange_weak(word, next, kSwap, kRelaxed));
  if (call) call_on_returned(incarnation);
}

void Region::drop(uint32_t slot, uint64_t refs, bool notify) noexcept {
  const uint64_t left = record(slot).refs.fetch_sub(refs, kSwap) - refs;
  if (left == 0) slot_returned(slot, notify);
}

// Takes a reference to the slot, if it has any: then it is received, and it and its region stand
// still until the reference is dropped.
[[gnu::always_inline]] inline bool Region::pin(const Spot& spot) noexcept {
  Slot& record = *spot.record;
  uint64_t refs = record.refs.load(kRelaxed);
  do {
    if (Slot::references(refs) == 0) return false;
    // Acquire: pairs with arrived(), and with the end of the region that had the array before.
  } while (!record.refs.compare_exchange_weak(refs, refs + Slot::kReference, kSwap, kRelaxed));
  if (is_ours(spot)) return true;
  unpin(*spot.array, spot.slot);
  return false;
}

[[gnu::cold]] void Region::unpin(SlotArray& array, uint32_t slot) noexcept {
  array.owner.load(kRelaxed)->drop(slot, Slot::kReference, true);
}

int Region::release(const void* p, size_t n) noexcept {
  return release_plain(
      area(), p, n, [](Region& region, uint32_t slot) { return region.return_released(slot); },
      [=, this] { return release_part(p, n); });
}

// It is another region's: we are the one that had this address and this record before (Area::
// release() asks such a one), and the next one asked will take it. Nobody else has any business
// with this address meanwhile, and with the word the message's reference was ours.
[[gnu::cold]] void Region::put_back(Slot& record, uint64_t held) noexcept {
  // Release: as in hand_out().
  record.lone.store(held, std::memory_order_release);
}

int Region::release_part(const void* p, size_t n) noexcept {
  Spot spot;
  if (!find_spot(p, spot) || n > piece::kMaxLength || !pin(spot)) return -EINVAL;
  const Slot::Use use = spot.record->use.load(kRelaxed);
  bool last = true;  // of what the reference of the message, or the stretch, is for
  const bool released =
      use == Slot::Use::kTrain
          ? release_piece(spot, n)
          : use == Slot::Use::kBytes && release_bytes(*spot.record, spot.start, n, last);
  const uint64_t refs = (released && last ? 2 : 1) * Slot::kReference;  // the pin's too
  if (spot.record->refs.fetch_sub(refs, kSwap) == refs) slot_returned(spot.slot, true);
  return released ? 0 : -EINVAL;
}

// Of a message of a train.
bool Region::release_piece(const Spot& spot, size_t n) const noexcept {
  if (spot.start % kGranule != 0) return false;
  return take_word(pieces_.load(kRelaxed)[granule_of(spot.slot, spot.start)],
                   piece::held(static_cast<uint32_t>(n)));
}

uintptr_t Region::address_of(uint32_t granule) const noexcept {
  return base_.load(kRelaxed) + size_t{granule} * kGranule;
}

int Region::begin_flight(const void* p, size_t n, Flight& flight, bool whole) noexcept {
  Spot spot;
  if (!find_spot(p, spot) || !pin(spot)) return -EFAULT;
  const int error = spot.record->use.load(kRelaxed) == Slot::Use::kBytes
                        ? begin_bytes_flight(*spot.record, spot.start, n, whole)
                        : begin_piece(spot, p, n, whole);
  if (error != 0) {
    unpin(*spot.array, spot.slot);
    return error;
  }
  // The pin becomes the flight's reference. Relaxed: nothing else hangs on the count of flights.
  spot.record->refs.fetch_add(Slot::kFlight, kRelaxed);
  flight = {&area(), block_.load(kRelaxed), granule_of(spot.slot, spot.start) + 1};
  return 0;
}

// Where the message begins that p lies in, as a granule: the nearest before p that has a word. For
// one that does not own p, any other.
uint32_t Region::start_of(const Spot& spot) const noexcept {
  const uint32_t first = granule_of(spot.slot, 0);
  if (spot.record->use.load(kRelaxed) == Slot::Use::kLone) return first;
  const std::atomic<uint32_t>* pieces = pieces_.load(kRelaxed);
  uint32_t granule = granule_of(spot.slot, spot.start);
  while (granule > first && pieces[granule].load(kRelaxed) == 0) --granule;
  return granule;
}

int Region::begin_piece(Spot& spot, const void* p, size_t n, bool whole) noexcept {
  const uint32_t granule = start_of(spot);
  const size_t skip = reinterpret_cast<uintptr_t>(p) - address_of(granule);
  spot.start = (granule - granule_of(spot.slot, 0)) * uint32_t{kGranule};
  return with_word(*spot.record, granule, [=](auto& word) {
    auto old = word.load(kRelaxed);
    do {
      const size_t length = piece::length(old);
      if (piece::count(old) == 0 || (old & piece::kReleasing) != 0) return -EFAULT;
      if (skip > length || n > length - skip) return -EFAULT;
      if (whole && n != length) return -EINVAL;
      if (piece::count(old) == piece::kMaxFlights + 1) return -EAGAIN;
    } while (!word.compare_exchange_weak(old, old + 1, kSwap, kRelaxed));
    return 0;
  });
}

void Region::end_flight(uint32_t piece, bool release) noexcept {
  const uint32_t granule = piece - 1;
  const uint32_t slot = granule / (slot_size() / uint32_t{kGranule});
  const bool gone = record(slot).use.load(kRelaxed) == Slot::Use::kBytes
                        ? end_bytes_flight(record(slot), release)
                        : end_piece_flight(record(slot), granule, release);
  // The flight's reference, and with the last flight of a released message that one's.
  drop(slot, Slot::kFlight + (gone ? 2 : 1) * Slot::kReference, true);
}

// True: it was released, and this was the last flight.
bool Region::end_piece_flight(Slot& slot, uint32_t granule, bool release) noexcept {
  return with_word(slot, granule, [=](auto& word) {
    auto old = word.load(kRelaxed);
    auto next = old;
    do {
      next = (old - 1) | (release ? piece::kReleasing : 0);
      if (piece::count(next) == 1 && (next & piece::kReleasing) != 0) next = 0;
    } while (!word.compare_exchange_weak(old, next, kSwap, kRelaxed));
    return next == 0;
  });
}

// The region may have ended since, or have come to life again for another socket. We count
// ourselves first and look then; detach() marks first and looks at the count then. Sequentially
// consistent, all four: so either we see the mark or it sees us and waits.
void Region::call_on_returned(uint32_t incarnation) noexcept {
  callers_.fetch_add(1, std::memory_order_seq_cst);
  const bool attached = (returns_.load(std::memory_order_seq_cst) & returns::kDetached) == 0;
  if (attached && incarnation_.load(std::memory_order_seq_cst) == incarnation) {
    on_returned_.load(kRelaxed)(on_returned_arg_.load(kRelaxed));
  }
  callers_.fetch_sub(1, std::memory_order_release);  // release: the call is over for detach()
}

}  // namespace sio::internal
