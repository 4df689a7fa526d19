// SPDX-License-Identifier: BSD-2-Clause
//
// All tables are read and written relaxed: whoever relies on what it reads was given the block by
// way of the mutex or of the block's state word, which order it; see invariant 3.
#include "memory/blocks.h"

#include <algorithm>
#include <bit>

#include "memory/order.h"

namespace sio::internal {
void FreeLists::clear() noexcept {
  lists_.fill(0);
  not_empty_.fill(0);
}

void FreeLists::add(const Tables& tables, uint32_t index) noexcept {
  Block& block = tables.blocks[index];
  const uint32_t c = class_of(block.lines);
  block.previous = 0;
  block.next = lists_[c];
  if (block.next != 0) tables.blocks[block.next].previous = index;
  lists_[c] = index;
  not_empty_[c / 64] |= uint64_t{1} << (c % 64);
}

void FreeLists::remove(const Tables& tables, uint32_t index) noexcept {
  const Block& block = tables.blocks[index];
  const uint32_t c = class_of(block.lines);
  if (block.next != 0) tables.blocks[block.next].previous = block.previous;
  if (block.previous != 0) {
    tables.blocks[block.previous].next = block.next;
  } else {
    lists_[c] = block.next;
    if (block.next == 0) not_empty_[c / 64] &= ~(uint64_t{1} << (c % 64));
  }
}

// The first block of the first class where any will do; failing that, one that happens to be
// large enough in the class of this very size.
uint32_t FreeLists::find(const Tables& tables, uint32_t lines) const noexcept {
  if (const uint32_t index = first_from(class_that_fits(lines))) return index;
  uint32_t index = lists_[class_of(lines)];
  while (index != 0 && tables.blocks[index].lines < lines) index = tables.blocks[index].next;
  return index;
}

uint32_t FreeLists::first_from(uint32_t size_class) const noexcept {
  uint64_t mask = ~uint64_t{0} << (size_class % 64);
  for (size_t word = size_class / 64; word < not_empty_.size(); ++word) {
    if (const uint64_t found = not_empty_[word] & mask) {
      return lists_[word * 64 + static_cast<size_t>(std::countr_zero(found))];
    }
    mask = ~uint64_t{0};
  }
  return 0;
}

uint32_t Blocks::find_inside(const Tables& t, uint32_t line) noexcept {
  const uint32_t start = t.starts.find_at_or_below(line);
  return start == Bitmap::kNone ? 0 : t.block_at[start].load(kRelaxed);
}

std::atomic<uint32_t>* Blocks::pieces_of(const Block& block) const noexcept {
  return tables()->pieces + size_t{block.start.load(kRelaxed)} * kGranulesPerLine;
}

void Blocks::open(uint32_t lines) {
  Tables* old = tables_.load(kRelaxed);
  if (old == nullptr || old->capacity < lines) {
    // Twice the old one at least: so all the old ones together take less room than the new one.
    const uint32_t twice = old == nullptr ? 0 : std::min(old->capacity, kMaxLines / 2) * 2;
    // Release: readers find it made.
    tables_.store(new Tables(std::max(lines, twice), old), std::memory_order_release);
  }
  lines_ = lines;
  in_use_ = 0;
  records_ = 0;
  unused_ = 0;
  home_.clear();
  const uint32_t index = new_record();
  at(index).lines = lines;
  at(index).home = &home_;
  add_start(index, 0);
  list_free(index);
}

void Blocks::close() noexcept {
  lines_ = 0;
  if (Tables* t = tables_.load(kRelaxed)) t->clear();
}

uint32_t Blocks::take(FreeLists& home, uint32_t lines) noexcept {
  const uint32_t index = home.find(*tables(), lines);
  if (index == 0) return 0;
  unlist(index);
  if (at(index).lines > lines) cut(index, lines);
  ++in_use_;
  return index;
}

uint32_t Blocks::open_pool(FreeLists& home, uint32_t lines) noexcept {
  const uint32_t index = take(lines);
  if (index == 0) return 0;
  --in_use_;
  at(index).home = &home;
  list_free(index);
  return index;
}

void Blocks::close_pool(FreeLists& home, uint32_t first_line, uint32_t lines) noexcept {
  uint32_t index = tables()->block_at[first_line].load(kRelaxed);
  const uint32_t end = first_line + lines;
  for (uint32_t after; index != 0 && at(index).start.load(kRelaxed) < end; index = after) {
    after = next(index);
    if (at(index).home != &home) continue;
    const bool free = is_free(index);
    if (free) unlist(index);
    at(index).home = &home_;
    if (free) merge(index);
  }
}

void Blocks::give_back(uint32_t index) noexcept {
  --in_use_;
  merge(index);
}

// With its free neighbours of the same home, and onto that one's list.
void Blocks::merge(uint32_t index) noexcept {
  const FreeLists* const home = at(index).home;
  const auto joins = [&](uint32_t other) {
    return other != 0 && at(other).home == home && is_free(other);
  };
  if (const uint32_t after = next(index); joins(after)) {
    unlist(after);
    remove_start(at(after).start.load(kRelaxed));
    at(index).lines += at(after).lines;
    drop_record(after);
  }
  if (const uint32_t before = previous(index); joins(before)) {
    unlist(before);
    remove_start(at(index).start.load(kRelaxed));
    at(before).lines += at(index).lines;
    drop_record(index);
    index = before;
  }
  list_free(index);
}

uint32_t Blocks::first() const noexcept {
  return lines_ == 0 ? 0 : tables()->block_at[0].load(kRelaxed);
}

uint32_t Blocks::next(uint32_t index) const noexcept {
  const uint32_t line = at(index).start.load(kRelaxed) + at(index).lines;
  return line == lines_ ? 0 : tables()->block_at[line].load(kRelaxed);
}

uint32_t Blocks::previous(uint32_t index) const noexcept {
  const uint32_t start = at(index).start.load(kRelaxed);
  return start == 0 ? 0 : find(start - 1);
}

bool Blocks::is_free(uint32_t index) const noexcept {
  return block_state::kind(at(index).state.load(kRelaxed)) == block_state::kFree;
}

uint32_t Blocks::new_record() noexcept {
  if (unused_ == 0) return ++records_;  // there are never more blocks than lines
  const uint32_t index = unused_;
  unused_ = at(index).next;
  return index;
}

void Blocks::drop_record(uint32_t index) noexcept {
  at(index).state.store(0, kRelaxed);
  at(index).next = unused_;
  unused_ = index;
}

void Blocks::add_start(uint32_t index, uint32_t line) noexcept {
  Tables* t = tables_.load(kRelaxed);
  t->blocks[index].start.store(line, kRelaxed);
  t->block_at[line].store(index, kRelaxed);
  t->starts.insert(line);
}

void Blocks::remove_start(uint32_t line) noexcept {
  Tables* t = tables_.load(kRelaxed);
  t->block_at[line].store(0, kRelaxed);
  t->starts.erase(line);
}

void Blocks::list_free(uint32_t index) noexcept {
  at(index).state.store(0, kRelaxed);
  at(index).home->add(*tables(), index);
}

void Blocks::unlist(uint32_t index) noexcept { at(index).home->remove(*tables(), index); }

// Leaves `lines` to the block and makes the rest a free block of its own.
void Blocks::cut(uint32_t index, uint32_t lines) noexcept {
  Block& block = at(index);
  const uint32_t rest = new_record();
  at(rest).lines = block.lines - lines;
  at(rest).home = block.home;
  block.lines = lines;
  add_start(rest, block.start.load(kRelaxed) + lines);
  list_free(rest);
}

}  // namespace sio::internal
