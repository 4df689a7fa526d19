// SPDX-License-Identifier: BSD-2-Clause
//
// The allocator of an area: segregated lists of free blocks (as TLSF: constant time, little
// fragmentation), all of its data beside the area.
//
// Invariants
//
// 1. The blocks tile [0, lines): tables->block_at[l] is the block that starts at line l, and then l
//    is in tables->starts too; else 0.
// 2. A block with state kFree is in its home's list of its class. A neighbour of the same home is
//    not kFree.
// 3. A thread that owns a block, or a part of it, finds it without the mutex: nobody else changes
//    what the tables say about the lines of that block. Others find anything or nothing, and have
//    to ask the block's state.
// 4. A new Tables is larger than the one it replaces, so an index that was good stays one.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "memory/block.h"
#include "memory/size_classes.h"
#include "memory/tables.h"

namespace sio::internal {

// The free blocks of one home: the area itself, or a pool of receive memory in it. All of it under
// the area's mutex.
class FreeLists {
 public:
  void clear() noexcept;
  void add(const Tables& tables, uint32_t index) noexcept;
  void remove(const Tables& tables, uint32_t index) noexcept;
  // A block of so many lines or more; 0: there is none.
  uint32_t find(const Tables& tables, uint32_t lines) const noexcept;

 private:
  uint32_t first_from(uint32_t size_class) const noexcept;

  std::array<uint32_t, kSizeClasses> lists_{};                  // first free block by class
  std::array<uint64_t, (kSizeClasses + 63) / 64> not_empty_{};  // classes with one
};

class Blocks {
 public:
  static constexpr uint32_t kMaxLines = 0xffff0000u;  // 256 GiB less a little

  // Any thread, lock-free.

  // The block that has this line in it; 0: none.
  uint32_t find(size_t line) const noexcept {
    const Tables* t = tables();
    if (t == nullptr || line >= t->capacity) return 0;
    // Mostly one asks for a start. Relaxed: invariant 3.
    const uint32_t index = t->block_at[line].load(std::memory_order_relaxed);
    return index != 0 ? index : find_inside(*t, static_cast<uint32_t>(line));
  }

  // `index` as found, or of a block that one owns.
  Block& at(uint32_t index) const noexcept { return tables()->blocks[index]; }

  std::atomic<uint32_t>* pieces_of(const Block& block) const noexcept;

  // All below: under the area's mutex.

  // One free block of `lines`. Throws ENOMEM, std::bad_alloc. Before it and after close there are
  // no blocks.
  void open(uint32_t lines);
  void close() noexcept;

  bool all_free() const noexcept { return in_use_ == 0; }

  // A block of so many lines, still marked kFree; 0 if no free block is that large. The caller
  // sets its state.
  uint32_t take(uint32_t lines) noexcept { return take(home_, lines); }
  uint32_t take(FreeLists& home, uint32_t lines) noexcept;

  // A pool: `lines` of free memory with a home of its own. The first block, which stays where it
  // is, or 0. close_pool: what is free there is the area's again, and what is not will be.
  uint32_t open_pool(FreeLists& home, uint32_t lines) noexcept;
  void close_pool(FreeLists& home, uint32_t first_line, uint32_t lines) noexcept;
  bool is_areas(const Block& block) const noexcept { return block.home == &home_; }

  // A block of any kind but kFree becomes free and merges with its neighbours.
  void give_back(uint32_t index) noexcept;

  // All blocks in the order of their addresses: first(), next(b) until 0.
  uint32_t first() const noexcept;
  uint32_t next(uint32_t index) const noexcept;

 private:
  const Tables* tables() const noexcept {
    // Acquire: what it points to was made by the storing thread.
    return tables_.load(std::memory_order_acquire);
  }

  static uint32_t find_inside(const Tables& t, uint32_t line) noexcept;
  uint32_t new_record() noexcept;
  void drop_record(uint32_t index) noexcept;
  void add_start(uint32_t index, uint32_t line) noexcept;
  void remove_start(uint32_t line) noexcept;
  void list_free(uint32_t index) noexcept;
  void unlist(uint32_t index) noexcept;
  void merge(uint32_t index) noexcept;
  void cut(uint32_t index, uint32_t lines) noexcept;
  uint32_t previous(uint32_t index) const noexcept;
  bool is_free(uint32_t index) const noexcept;

  std::atomic<Tables*> tables_{nullptr};  // owned; replaced by larger ones, never freed
  uint32_t lines_ = 0;
  uint32_t in_use_ = 0;   // blocks that are not kFree
  uint32_t records_ = 0;  // highest record ever used
  uint32_t unused_ = 0;   // list of records below it that are no block
  FreeLists home_;        // of what is in no pool
};

}  // namespace sio::internal
