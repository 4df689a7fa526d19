// SPDX-License-Identifier: BSD-2-Clause
//
// Receive memory of one socket: one block of an area, cut into slots.
//
// A slot is posted (the library's) or received: it holds one lone message or a train of them, each
// handed out to the program and released by it, on any thread and in any order; or bytes of a
// stream, which are handed out and released in portions, from the front. When the last of it is
// released and the decoder has finished with it, the slot returns, to be collected and posted again
// by the library.
//
// Invariants
//
// 1. Region objects and their slot arrays are type-stable (made at need, reused, never freed), so
//    that a call with a pointer that the program does not own is refused and never undefined.
// 2. A slot's reference count (slot.h) is: 1 for the decoder from arrived() to finish(), 1 for each
//    message handed out and not released, 1 for each flight, 1 for each thread that is looking at
//    the slot (a pin). It is 0 exactly while the slot is posted or returned; only arrived() takes
//    it off 0, a pin never does.
// 3. While a slot has a reference, its region and its block exist and their geometry stands still.
//    So the program's side pins the slot first and looks afterwards; or takes the word of a lone
//    message, and with it the message's reference.
// 4. Who takes the last reference returns the slot: exactly one push per arrived().
// 5. A message is one word (piece.h; of a stream's slot stretch.h): not held; held; held with n
//    flights; kept out of the memory that the program can write. Only a compare-and-swap of that
//    word releases a message or begins a flight. The word of what is not held is 0, and that of a
//    lone message says at which address it is.
// 6. After detach() the region lives until the last received slot has returned; whoever returns it
//    frees the region.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "memory/area.h"
#include "memory/piece.h"
#include "memory/slot.h"
#include "memory/tables.h"

namespace sio::internal {

class alignas(64) Region {
 public:
  // Takes `bytes` of the area: `slots` slots of `slot_size` (a multiple of 64) from its start, all
  // of them posted; the rest is unused. Throws std::system_error: EINVAL (the slots do not fit
  // into bytes, or their size is no good), ENOBUFS (the area has no such block), ENOMEM.
  static Region* create(Area& area, size_t bytes, uint32_t slot_size, uint32_t slots);

  char* slot(uint32_t i) const noexcept {
    const uintptr_t base = base_.load(std::memory_order_relaxed);  // stands still
    return reinterpret_cast<char*>(base) + size_t{i} * slot_size();
  }
  uint32_t slot_size() const noexcept { return slot_size_.load(std::memory_order_relaxed); }
  uint32_t slots() const noexcept { return count_; }
  Area& area() const noexcept { return *area_.load(std::memory_order_relaxed); }

  // The library's side: one thread at a time (the owning channel's lock). region.cc

  // A message or train landed in the slot: posted -> received, with the decoder's reference.
  void arrived(uint32_t slot, bool train) noexcept;

  // The message of `len` bytes at `offset` becomes the program's, before the program is told. Lone:
  // once, at offset 0. Train: offset is a multiple of 8, no two messages at the same one, and the
  // slot is not finished.
  void hand_out(uint32_t slot, uint32_t offset, uint32_t len) noexcept;

  // The same of n messages of a train: their references at once, then each.
  void prepare_to_hand_out(uint32_t i, uint32_t n) noexcept {
    // Relaxed: as in hand_out().
    record(i).refs.fetch_add(n * Slot::kReference, std::memory_order_relaxed);
  }
  void hand_out_prepared(uint32_t i, uint32_t offset, uint32_t len) noexcept {
    std::atomic<uint32_t>* const pieces = pieces_.load(std::memory_order_relaxed);
    pieces[granule_of(i, offset)].store(piece::held(len), std::memory_order_release);  // likewise
  }

  // A lone message of `len` bytes landed in the slot and is the program's at once: arrived(),
  // hand_out() and finish() in one. Where it lies.
  char* deliver(uint32_t i, uint32_t len) noexcept {
    Slot& slot = record(i);
    char* const data = this->slot(i);
    slot.use.store(Slot::Use::kLone, std::memory_order_relaxed);  // ordered by the references
    ++received_;
    // Release, both: as in arrived() and hand_out(). There is no decoder, so one reference will do.
    slot.refs.store(Slot::kReference, std::memory_order_release);
    slot.lone.store(piece::lone(reinterpret_cast<uintptr_t>(data), piece::held(len)),
                    std::memory_order_release);
    return data;
  }

  // The same three for a slot with bytes of a stream: hand_out_bytes() gives the next n of them;
  // `last`: there are no more.
  void arrived_bytes(uint32_t slot) noexcept;
  void hand_out_bytes(uint32_t slot, uint32_t n, bool last) noexcept;
  char* deliver_bytes(uint32_t slot, uint32_t len) noexcept;

  // The decoder hands out no more from this slot. Once per arrived(). If the program has released
  // everything (or nothing was handed out) the slot returns at once.
  void finish(uint32_t slot) noexcept;

  // Undoes hand_out of a message that the program never saw; of bytes: of all that the slot has.
  void take_back(uint32_t slot, uint32_t offset) noexcept;

  // Takes at most `max` returned slots, which are posted from then on. How many.
  int collect(uint32_t* slots, int max) noexcept;

  // How many wait to be collected.
  uint32_t returned() const noexcept;

  // How many have something in them that is not the library's to post again.
  uint32_t held() const noexcept { return received_ - returned(); }

  // Whether any does. If not, the next one calls fn (set_on_returned) whatever the threshold.
  bool watch() noexcept;

  // The socket is gone. Finishes what is not finished; nothing will be collected any more. The
  // region frees itself, here or when the program releases the last message. After this call the
  // caller may not use the region; the callback is not running and is not called again.
  void detach() noexcept;

  // fn(arg) is called by the releasing thread when slots that wait to be collected have become
  // `threshold` or more: once, and again only after the next collect(). It is called for returns
  // on the program's side (release, end_flight) only: after finish() or take_back() look at
  // returned(). No lock of this folder is held. detach() waits for a running fn, so fn must not
  // wait for a lock under which detach() may be called. Set before the first arrived().
  void set_on_returned(void (*fn)(void*), void* arg, uint32_t threshold) noexcept;

  // The program's side: any thread, lock-free. region_data.cc. Called by Area, which found that p
  // lies in this region's block, or that it may; see there for the meaning.
  int release(const void* p, size_t n) noexcept;
  // The same, of which release() is made: a lone message (see Area); and a message of a train, or
  // bytes of a stream.
  template <typename Told, typename Other>
  int release_plain(const Area& of, const void* p, size_t n, Told told, Other other) noexcept;
  int release_part(const void* p, size_t n) noexcept;
  // A slot has no references any more; somebody may hear of it.
  int return_released(uint32_t slot) noexcept {
    slot_returned(slot, true);
    return 0;
  }
  int begin_flight(const void* p, size_t n, Flight& flight, bool whole) noexcept;
  void end_flight(uint32_t piece, bool release) noexcept;

  // Bytes of slots that are received, and of those that have a flight. Under the area's mutex.
  void stat(size_t& received, size_t& in_flight) const noexcept;

 private:
  template <typename T>
  friend class StablePool;
  Region() = default;

  struct Spot;
  // Of the memory. So many, times the size of a slot, are less than 2^64, so that the fraction
  // below is exact; and a granule's number has 32 bits.
  static constexpr size_t kMostBytes = (size_t{1} << 32) * 8;

  void open(Area& area, SlotArray* array, uint32_t slot_size, uint32_t slots) noexcept;
  int take_block(size_t bytes) noexcept;
  void begin_use(uint32_t slot, Slot::Use use) noexcept;
  bool take_returned() noexcept;

  // Of both sides; region_data.cc.
  Slot& record(uint32_t i) const noexcept {
    return array_.load(std::memory_order_relaxed)->slots[i];  // relaxed: stands still
  }
  uint32_t granule_of(uint32_t slot, uint32_t offset) const noexcept {
    return slot * (slot_size() / uint32_t{kGranule}) + offset / uint32_t{kGranule};
  }
  uintptr_t address_of(uint32_t granule) const noexcept;
  // The word of a lone message of the slot, while it is held.
  uint64_t lone_held(uint32_t i, uint32_t len) const noexcept {
    return piece::lone(reinterpret_cast<uintptr_t>(slot(i)), piece::held(len));
  }
  // use(word), of the message that starts at this granule. A lone one has it in the slot's record,
  // so that a slot takes no further cache line or page unless trains come.
  template <typename Use>
  auto with_word(Slot& slot, uint32_t granule, Use use) const noexcept {
    const bool train = slot.use.load(std::memory_order_relaxed) == Slot::Use::kTrain;
    return train ? use(pieces_.load(std::memory_order_relaxed)[granule]) : use(slot.lone);
  }
  // Takes references and flights off a slot; the last reference returns it.
  void drop(uint32_t slot, uint64_t refs, bool notify) noexcept;
  void slot_returned(uint32_t slot, bool notify) noexcept;
  void call_on_returned(uint32_t incarnation) noexcept;
  void end_detached() noexcept;
  void die() noexcept;

  uint32_t slot_of(uintptr_t offset) const noexcept;
  bool find_spot(const void* p, Spot& spot) const noexcept;
  bool is_ours(const Spot& spot) const noexcept;
  bool pin(const Spot& spot) noexcept;
  static void unpin(SlotArray& array, uint32_t slot) noexcept;
  template <typename Word>
  static bool take_word(std::atomic<Word>& word, Word held) noexcept;
  static void put_back(Slot& record, uint64_t held) noexcept;
  bool return_plain(Slot& record, uint32_t slot) noexcept;
  bool release_piece(const Spot& spot, size_t n) const noexcept;
  uint32_t start_of(const Spot& spot) const noexcept;
  int begin_piece(Spot& spot, const void* p, size_t n, bool whole) noexcept;
  bool end_piece_flight(Slot& slot, uint32_t granule, bool release) noexcept;

  // Of a stream's slot (region_stream.cc), which is pinned. `start`: bytes from the slot's start.
  static bool release_bytes(Slot& slot, uint32_t start, size_t n, bool& emptied) noexcept;
  static int begin_bytes_flight(Slot& slot, uint32_t start, size_t n, bool whole) noexcept;
  static bool end_bytes_flight(Slot& slot, bool release) noexcept;  // nothing is held any more
  static bool take_bytes_back(Slot& slot) noexcept;                 // likewise

  // Constant while any slot has a reference or the socket is attached; read by strangers at any
  // time, hence atomic.
  std::atomic<Area*> area_{nullptr};
  std::atomic<uintptr_t> base_{0};
  std::atomic<uint32_t> block_{0};
  std::atomic<uint32_t> slot_size_{0};
  std::atomic<uint64_t> slots_per_byte_{0};  // a fraction, times 2^64: to divide by the size
  std::atomic<SlotArray*> array_{nullptr};

  // Returned slots and more: see slot.h, returns.
  std::atomic<uint64_t> returns_{returns::kDetached};
  std::atomic<uint32_t> threshold_{0};

  std::atomic<std::atomic<uint32_t>*> pieces_{nullptr};  // the words of the block's granules
  std::atomic<void (*)(void*)> on_returned_{nullptr};
  std::atomic<void*> on_returned_arg_{nullptr};
  std::atomic<uint32_t> incarnation_{0};  // of this object, counted up by open()
  std::atomic<uint32_t> callers_{0};      // threads in or about to enter on_returned_

  // The library's side only.
  uint32_t count_ = 0;        // slots
  uint32_t received_ = 0;     // arrived and not collected
  uint32_t taken_ = kNoSlot;  // returned slots taken off returns_ and not yet collected
  uint32_t taken_count_ = 0;
};

}  // namespace sio::internal
