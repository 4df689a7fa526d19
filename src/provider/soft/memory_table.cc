// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/memory_table.h"

#include "base/error.h"

namespace sio::internal::provider::soft {

MemoryTable::Entry* MemoryTable::find(uint32_t index) const noexcept {
  if (index >= kMost) return nullptr;
  // Acquire: with the page come its entries.
  Page* page = pages_[index / kPage].load(std::memory_order_acquire);
  return page == nullptr ? nullptr : &(*page)[index % kPage];
}

uint32_t MemoryTable::add(const void* base, size_t size, bool writable) {
  const std::lock_guard lock(mutex_);
  uint32_t index;
  uint32_t turn = 0;
  if (!free_.empty()) {
    turn = (free_.back() + 1) & ((1u << kTurnBits) - 1);
    index = free_.back() >> kTurnBits;
    free_.pop_back();
  } else {
    if (used_ == kMost) throw_errno(ENOMEM, "registrations of memory");
    index = used_;
    if (find(index) == nullptr) {
      free_.reserve((index / kPage + 1) * kPage);  // remove() never allocates
      owned_.push_back(std::make_unique<Page>());
      pages_[index / kPage].store(owned_.back().get(), std::memory_order_release);
    }
    ++used_;
  }
  Entry& entry = *find(index);
  const uint32_t key = index << kTurnBits | turn;
  entry.base.store(reinterpret_cast<uintptr_t>(base), std::memory_order_relaxed);
  entry.size.store(size, std::memory_order_relaxed);
  entry.writable.store(writable, std::memory_order_relaxed);
  entry.key.store(key, std::memory_order_release);  // who reads the key finds the rest
  return key;
}

void MemoryTable::remove(uint32_t key) noexcept {
  const std::lock_guard lock(mutex_);
  find(key >> kTurnBits)->key.store(0, std::memory_order_relaxed);
  free_.push_back(key);
}

bool MemoryTable::covers(uint32_t key, uint64_t address, size_t size,
                         bool to_write) const noexcept {
  const Entry* entry = find(key >> kTurnBits);
  if (key == 0 || entry == nullptr || entry->key.load(std::memory_order_acquire) != key) {
    return false;
  }
  if (to_write && !entry->writable.load(std::memory_order_relaxed)) return false;
  const uint64_t base = entry->base.load(std::memory_order_relaxed);
  const uint64_t whole = entry->size.load(std::memory_order_relaxed);
  return address >= base && size <= whole && address - base <= whole - size;
}

}  // namespace sio::internal::provider::soft
