// SPDX-License-Identifier: BSD-2-Clause
//
// A DMA area: mapped, registered memory and the account of who owns which part of it.
//
// Invariants
//
// 1. Area objects are type-stable: at most kMaxAreas, made at need, reused, never freed. So are
//    their tables (tables.h). Any call on any Area pointer is defined at any time; one on an area
//    that is gone, or on memory that the caller does not own, is refused with an errno.
// 2. Nothing is stored in the area itself: the program may write anywhere in it.
// 3. The blocks tile the area: each byte is in exactly one block, and each block has one state
//    word (block.h). Who owns a byte follows from that word, and in a region from its slots.
// 4. Blocks are made, split and merged under mutex_ only. A block changes between "the program's"
//    and "in flight" by compare-and-swap on its state word, without the mutex.
// 5. Each reservation has a state word unlike that of all others of this Area object (a sequence
//    number is in it). So when the compare-and-swap succeeds, what was read of the block since
//    its state was loaded belongs to that very reservation.
#pragma once

#include <sio/dma.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "base/mutex.h"
#include "memory/area_table.h"
#include "memory/blocks.h"
#include "memory/mapping.h"
#include "memory/registrar.h"

namespace sio::internal {

class Area;
class Region;

// One use of memory by one send. Made by begin_flight, good for exactly one end_flight.
struct Flight {
  Area* area;
  uint32_t block;
  uint32_t piece;  // in a region: 1 + the message's first granule in it; else 0
};

class Area {
 public:
  // Maps `size` bytes (rounded up to pages), faults them in and registers them. Throws
  // std::system_error: EINVAL (size 0), ENOMEM, EMFILE (kMaxAreas are in use), ENODEV (no
  // registrar), or what the registrar throws.
  static Area* create(size_t size, PageSize pages = PageSize::kAny);

  // The same of memory that stays the program's: both numbers whole lines (kLine), and none of it
  // in another area, else EINVAL. Not `writable`: for sending from. Throws also EFAULT and EACCES.
  static Area* import(void* p, size_t size, bool writable);

  // The area of a handle; null for NULL, a stale handle, garbage. Lock-free.
  static Area* from_handle(dma_mem_t handle) noexcept {
    Area* const area = AreaTable::object_of(handle);
    return area != nullptr && area->handle() == handle ? area : nullptr;
  }

  // The area that p lies in, or null. Lock-free, linear in the number of areas.
  static Area* find(const void* p) noexcept;

  // Ends the area of `handle`: 0, -EINVAL (not an area, or `size` is neither what create was
  // given nor that in whole pages) or -EBUSY (associated, or not all of it is free). For the
  // program's handles, since it tells a reused Area object from the one that the handle meant.
  static int destroy(dma_mem_t handle, size_t size) noexcept;

  // The same for the owner of the area.
  int destroy(size_t size) noexcept { return destroy(handle(), size); }

  // For an owner who wants it no more and can not wait: ends the area at once if nothing holds on
  // to it, else when the last block is given back and the last socket dissociates. Until then it
  // works as before, and the program may destroy it by its handle. An owner that is associated
  // calls this before dissociate(): the area is then sure to be still the one it means.
  void destroy_when_free() noexcept;

  dma_mem_t handle() const noexcept;
  char* base() const noexcept;
  size_t size() const noexcept;
  bool writable() const noexcept { return writable_.load(std::memory_order_relaxed); }
  uint32_t lkey(unsigned device) const noexcept;
  bool contains(const void* p) const noexcept;

  // The accounts. Each block and slot is counted once, by one look at its state, so they add up
  // to the size whatever other threads do meanwhile. Walks all blocks under the mutex.
  void stat(struct dma_stat& stat) noexcept;

  // Sockets that hold on to the area. False: it is gone (destroyed by another thread meanwhile).
  // While any is associated, destroy is -EBUSY.
  bool associate() noexcept;
  void dissociate() noexcept;

  // The program's blocks (area_data.cc). Any thread.

  // Takes a block of n bytes that begins on a cache line. 0; -EINVAL: n is 0 or the area is gone;
  // -EMSGSIZE: n is larger than the area; -ENOBUFS: no free block is large enough now. Exact: if
  // any free block could hold n bytes, one of them is taken.
  int reserve(void** p, size_t n) noexcept;

  // Gives back a reserved block or a received message (p and n exactly as they were given). 0, or
  // -EINVAL if the program does not own that, or it is in flight. Of several threads that release
  // the same, exactly one succeeds.
  int release(void* p, size_t n) noexcept;
  // The same, of which release() is made (plain_release.h): a lone message, as most are, 0; if
  // somebody may have to be told of it, told(region, slot) returns the slot, and is the result; if
  // it is not that, or not one of the usual region, other(). And all the rest.
  template <typename Told, typename Other>
  int release_plain(const void* p, size_t n, Told told, Other other) noexcept;
  int release_not_plain(void* p, size_t n) noexcept;

  // Lends [p, p+n) to a send. It must lie in one block or received message of the program's;
  // `whole`: and be all of it, as SIO_RELEASE asks. Any number of flights of one block may be
  // under way, until each has ended it can not be released.
  // 0; -EFAULT: not the program's; -EINVAL: not the whole; -EAGAIN: too many flights (kMaxFlights
  // of a block, kMaxPieceFlights of a message).
  int begin_flight(const void* p, size_t n, Flight& flight, bool whole) noexcept;

  // Ends one flight. `release`: the memory goes back to the area (or to its slot) as soon as no
  // flight of it is left, this one's end or a later one's; from here on no other can begin. Without
  // it the memory is the program's again when the last flight ends. Also the way to undo a
  // begin_flight whose send was not queued (release false).
  static void end_flight(Flight flight, bool release) noexcept;

 private:
  friend class AreaTable;
  friend class BulkPool;
  friend class Region;
  Area() = default;

  // What is left of an area: to be buried by a thread without the mutex.
  struct Remains {
    Mapping memory;
    void* token = nullptr;
    dma_mem_t handle = nullptr;  // null: nothing to bury
  };

  static Area* on(Mapping memory, size_t requested, bool writable);
  void open(Mapping memory, size_t requested, bool writable, dma_mem_t handle);
  int close(dma_mem_t handle, size_t size, Remains& remains) noexcept;
  bool idle() const noexcept { return associated_ == 0 && blocks_.all_free(); }  // mutex_ is held
  Remains take_apart() noexcept;                                                 // mutex_ is held
  Remains take_apart_if_due() noexcept;                                          // mutex_ is held
  static void bury(Remains remains) noexcept;

  // For Region: takes a block of n bytes for it, or gives it back. 0 or -errno as in reserve.
  int take_for_region(size_t n, Region* region, uint32_t& block, char** base) noexcept;
  void give_back(uint32_t block) noexcept;
  // For BulkPool: takes back a message that the program was never told of.
  void take_back(uint32_t block) noexcept;

  int take(size_t n, uint32_t& block) noexcept;  // mutex_ is held
  uintptr_t address_of(const Block& block) const noexcept;
  int release_other(void* p, size_t n) noexcept;
  int release_block(uint32_t index, const void* p, size_t n) noexcept;
  int begin_block_flight(Block& block, const void* p, size_t n, bool whole) noexcept;
  void end_block_flight(uint32_t index, bool release) noexcept;
  size_t offset_of(const void* p) const noexcept {
    // Acquire: pairs with open(); whoever sees the new base sees the tables of its time too.
    return reinterpret_cast<uintptr_t>(p) - base_.load(std::memory_order_acquire);
  }

  // Read without the mutex, also by threads that have no business here: hence atomic. Written
  // under mutex_ by open() and close().
  std::atomic<uintptr_t> handle_{0};  // 0: no area
  std::atomic<uintptr_t> base_{0};    // 0: no area
  std::atomic<size_t> size_{0};       // bytes, whole lines
  std::atomic<bool> writable_{true};
  std::array<std::atomic<uint32_t>, kMaxDevices> lkeys_{};
  // Of which a message was released, perhaps long ago. Apart from what everybody reads and nobody
  // changes.
  alignas(64) std::atomic<Region*> recent_{nullptr};
  alignas(64) Blocks blocks_;  // lookups without, changes with mutex_

  Mutex mutex_;
  // All below: under mutex_.
  size_t requested_ = 0;   // what create was given
  size_t associated_ = 0;  // sockets
  bool ending_ = false;    // destroy_when_free was called
  uint32_t sequence_ = 0;  // of reservations; goes on when the object is reused (invariant 5)
  Mapping memory_;
  void* token_ = nullptr;  // the registrar's
};

}  // namespace sio::internal
