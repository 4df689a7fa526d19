// SPDX-License-Identifier: BSD-2-Clause
#include "memory/area_table.h"

#include <array>
#include <mutex>

#include "base/error.h"
#include "memory/area.h"

namespace sio::internal {
namespace {

static_assert(sizeof(dma_mem_t) == 8, "handles take 64 bits");

dma_mem_t make_handle(uint32_t number, uint32_t generation) noexcept {
  return reinterpret_cast<dma_mem_t>(uintptr_t{generation} << 32 | (number + 1));
}

std::mutex mutex;
// Under the mutex:
std::array<uint32_t, kMaxAreas> generations;
std::array<bool, kMaxAreas> taken;

}  // namespace

Area* AreaTable::find(const void* p) noexcept {
  // Acquire: finds as many objects made. An area whose maker gave p to us is among them.
  const uint32_t count = count_.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < count; ++i) {
    Area* area = objects_.at(i);
    if (area->contains(p)) return area;
  }
  return nullptr;
}

bool AreaTable::overlaps(const void* p, size_t size) noexcept {
  const auto first = reinterpret_cast<uintptr_t>(p);
  const uint32_t count = count_.load(std::memory_order_acquire);  // as in find()
  for (uint32_t i = 0; i < count; ++i) {
    const Area* area = objects_.at(i);
    const auto base = reinterpret_cast<uintptr_t>(area->base());
    if (base != 0 && base < first + size && first < base + area->size()) return true;
  }
  return false;
}

void AreaTable::count(uint32_t& areas, uint64_t& bytes) noexcept {
  areas = 0;
  bytes = 0;
  const uint32_t made = count_.load(std::memory_order_acquire);  // as in find()
  for (uint32_t i = 0; i < made; ++i) {
    const size_t size = objects_.at(i)->size();
    areas += size > 0 ? 1 : 0;
    bytes += size;
  }
}

Area* AreaTable::take(dma_mem_t& handle) {
  const std::lock_guard lock(mutex);
  uint32_t number = 0;
  while (number < kMaxAreas && taken[number]) ++number;
  if (number == kMaxAreas) throw_errno(EMFILE, "too many areas");
  std::atomic<Area*>& place = objects_.place(number);
  Area* area = place.load(std::memory_order_relaxed);  // relaxed: under the mutex
  if (area == nullptr) {
    area = new Area;
    place.store(area, std::memory_order_release);  // release: the object is made
    count_.store(number + 1, std::memory_order_release);
  }
  taken[number] = true;
  handle = make_handle(number, ++generations[number]);
  return area;
}

void AreaTable::give_back(dma_mem_t handle) noexcept {
  const std::lock_guard lock(mutex);
  taken[number_of(handle)] = false;
}

}  // namespace sio::internal
