// SPDX-License-Identifier: BSD-2-Clause
//
// Regions: the program's side. Any thread, at any time, with any pointer; lock-free.
#include <cerrno>

#include "memory/piece.h"
#include "memory/region.h"
#include "memory/tables.h"

namespace sio::internal {
namespace {

// What stands still while it is looked at, or is checked again once it does.
constexpr auto kRelaxed = std::memory_order_relaxed;

// For the words of messages and the counts of references. Release: what this thread did with the
// message or slot comes before the next owner's doings. Acquire: as the next owner, it sees that.
constexpr auto kSwap = std::memory_order_acq_rel;

}  // namespace

// Where p lies, with a reference to its slot.
struct Region::Spot {
  SlotArray* array;
  Slot* record;
  uintptr_t base;  // the region's first byte, and the size of its slots
  uint32_t size;
  uint32_t slot;
  uint32_t start;  // bytes from the slot's start
};

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

// Where p lies, if this is a region that stands still. Part of what is called for each message.
[[gnu::always_inline]] inline bool Region::find_spot(const void* p, Spot& spot) const noexcept {
  SlotArray* const array = array_.load(std::memory_order_acquire);  // acquire: finds it made
  const uintptr_t base = base_.load(kRelaxed);
  const uint32_t size = slot_size();
  const uintptr_t offset = reinterpret_cast<uintptr_t>(p) - base;
  if (array == nullptr || offset >= kMostBytes) return false;
  // The quotient, if the fraction is of the same geometry; so it is looked whether it can be.
  const auto slot = static_cast<uint32_t>(
      static_cast<unsigned __int128>(offset) * slots_per_byte_.load(kRelaxed) >> 64);
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

// Takes a reference to the slot, if it has any: then it is received, and it and its region stand
// still until the reference is dropped. Part of what is called for each message.
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

template <typename Word>
[[gnu::always_inline]] inline bool Region::take_word(std::atomic<Word>& word, Word held) noexcept {
  if (word.load(kRelaxed) != held) return false;  // for nothing a swap costs as much
  return word.compare_exchange_strong(held, 0, kSwap, kRelaxed);
}

int Region::release(void* p, size_t n) noexcept {
  Spot spot;
  if (!find_spot(p, spot) || n > piece::kMaxLength) return -EINVAL;
  const uint64_t held =
      piece::lone(reinterpret_cast<uintptr_t>(p), piece::held(static_cast<uint32_t>(n)));
  if (!release_lone(spot, held)) [[unlikely]]
    return release_part(spot, n);
  if (!is_ours(spot)) return put_back(spot, held);
  if (spot.record->refs.fetch_sub(Slot::kReference, kSwap) == Slot::kReference) {
    slot_returned(spot.slot, true);
  }
  return 0;
}

// A lone message without a pin: whose it is has its reference until then. Who is asked for
// another's, since it had that memory or those records before (Area::recent_), finds no such word:
// the address in it is not the same, unless it had both.
[[gnu::always_inline]] inline bool Region::release_lone(const Spot& spot, uint64_t held) noexcept {
  return spot.start == 0 && take_word(spot.record->lone, held);
}

// It is another region's: we are the one that had this address and this record before (Area::
// release() asks such a one), and the next one asked will take it. Nobody else has any business
// with this address meanwhile, and with the word the message's reference was ours.
[[gnu::cold]] int Region::put_back(const Spot& spot, uint64_t held) noexcept {
  // Release: as in hand_out().
  spot.record->lone.store(held, std::memory_order_release);
  return -EINVAL;
}

// A message of a train, or bytes of a stream.
int Region::release_part(const Spot& spot, size_t n) noexcept {
  if (!pin(spot)) return -EINVAL;
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
