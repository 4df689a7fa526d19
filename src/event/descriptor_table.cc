// SPDX-License-Identifier: BSD-2-Clause
#include "event/descriptor_table.h"

#include <memory>

#include "base/error.h"

namespace sio::internal {

constinit DescriptorTable DescriptorTable::table_;

void DescriptorTable::store(int fd, Type type, void* object) {
  const auto index = static_cast<unsigned>(fd);
  if (index >= static_cast<unsigned>(kChunks) << kChunkBits) throw_errno(EMFILE, "descriptor");
  std::atomic<Chunk*>& place = chunks_.place(index >> kChunkBits);
  Chunk* chunk = place.load(std::memory_order_acquire);
  if (chunk == nullptr) {
    auto fresh = std::make_unique<Chunk>();
    // Another thread may have been first; then `chunk` is what it put there.
    if (place.compare_exchange_strong(chunk, fresh.get(), std::memory_order_acq_rel)) {
      chunk = fresh.release();
    }
  }
  // Release: who finds the object finds it made ready.
  (*chunk)[index & (kChunkSize - 1)][type].store(object, std::memory_order_release);
}

void DescriptorTable::clear(int fd) noexcept {
  const auto index = static_cast<unsigned>(fd);
  if (index >= static_cast<unsigned>(kChunks) << kChunkBits) return;
  Chunk* chunk = chunks_.at(index >> kChunkBits);
  if (chunk == nullptr) return;
  for (auto& entry : (*chunk)[index & (kChunkSize - 1)]) {
    entry.store(nullptr, std::memory_order_release);  // order: as in store
  }
}

uint32_t DescriptorTable::count_channels() const noexcept {
  uint32_t count = 0;
  for (size_t i = 0; i < kChunks; ++i) {
    const Chunk* const chunk = chunks_.at(i);
    if (chunk == nullptr) continue;
    // Relaxed: a number, no more.
    for (const Entry& entry : *chunk)
      count += entry[kChannel].load(std::memory_order_relaxed) != nullptr ? 1 : 0;
  }
  return count;
}

}  // namespace sio::internal
