// SPDX-License-Identifier: BSD-2-Clause
//
// Areas: making, ending, accounts. What the program does with blocks is in area_data.cc.
// Relaxed is what is under the mutex, or where any value that was true lately will do.
#include "memory/area.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "memory/area_table.h"
#include "memory/order.h"
#include "memory/region.h"

namespace sio::internal {
namespace {

size_t in_whole_pages(size_t size, PageSize pages) {
  const size_t page = pages == PageSize::kAny ? page_size() : size_t{1} << unsigned(pages);
  if (size > Blocks::kMaxLines * kLine - page) throw_errno(ENOMEM, "an area can not be so large");
  return (size + page - 1) / page * page;
}

}  // namespace

Area* Area::create(size_t size, PageSize pages) {
  if (size == 0) throw_errno(EINVAL, "size of an area");
  return on(Mapping::for_area(in_whole_pages(size, pages), pages), size, true);
}

Area* Area::import(void* p, size_t size, bool writable) {
  const auto at = reinterpret_cast<uintptr_t>(p);
  if (at == 0 || at % kLine != 0 || size == 0 || size % kLine != 0 || size > SIZE_MAX - at) {
    throw_errno(EINVAL, "memory that is no whole cache lines");
  }
  if (size > Blocks::kMaxLines * kLine) throw_errno(ENOMEM, "an area can not be so large");
  static std::mutex one_at_a_time;  // so that no two can take the same memory
  const std::lock_guard lock(one_at_a_time);
  if (AreaTable::overlaps(p, size)) throw_errno(EINVAL, "memory of another area");
  return on(Mapping::of_program(p, size, writable), size, writable);
}

Area* Area::on(Mapping memory, size_t requested, bool writable) {
  dma_mem_t handle = nullptr;
  Area* area = AreaTable::take(handle);
  try {
    area->open(std::move(memory), requested, writable, handle);
  } catch (...) {
    AreaTable::give_back(handle);
    throw;
  }
  return area;
}

Area* Area::find(const void* p) noexcept { return AreaTable::find(p); }

int Area::destroy(dma_mem_t handle, size_t size) noexcept {
  Area* area = AreaTable::object_of(handle);
  if (area == nullptr) return -EINVAL;
  Remains remains;
  const int result = area->close(handle, size, remains);
  bury(std::move(remains));
  return result;
}

void Area::destroy_when_free() noexcept {
  Remains remains;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    remains = take_apart_if_due();
  }
  bury(std::move(remains));
}

dma_mem_t Area::handle() const noexcept {
  // Acquire: pairs with open(); a good handle finds the area complete.
  return reinterpret_cast<dma_mem_t>(handle_.load(std::memory_order_acquire));
}

char* Area::base() const noexcept { return reinterpret_cast<char*>(base_.load(kRelaxed)); }

size_t Area::size() const noexcept { return size_.load(kRelaxed); }

uint32_t Area::lkey(unsigned device) const noexcept { return lkeys_[device].load(kRelaxed); }

bool Area::contains(const void* p) const noexcept { return offset_of(p) < size(); }

void Area::open(Mapping memory, size_t requested, bool writable, dma_mem_t handle) {
  const size_t size = memory.size();
  const Registrar& devices = registrar();
  std::array<uint32_t, kMaxDevices> lkeys{};
  void* token = devices.register_memory(memory.base(), size, writable, lkeys);
  try {
    const std::lock_guard lock(mutex_);
    blocks_.open(static_cast<uint32_t>(size / kLine));
    requested_ = requested;
    associated_ = 0;
    memory_ = std::move(memory);
    token_ = token;
    for (size_t i = 0; i < kMaxDevices; ++i) lkeys_[i].store(lkeys[i], kRelaxed);
    writable_.store(writable, kRelaxed);
    size_.store(size, kRelaxed);
    // Release, both: whoever sees it sees the area complete.
    base_.store(reinterpret_cast<uintptr_t>(memory_.base()), std::memory_order_release);
    handle_.store(reinterpret_cast<uintptr_t>(handle), std::memory_order_release);
  } catch (...) {
    devices.deregister(token);
    throw;
  }
}

int Area::close(dma_mem_t handle, size_t size, Remains& remains) noexcept {
  const std::lock_guard lock(mutex_);
  if (this->handle() != handle) return -EINVAL;
  if (size != requested_ && size != size_.load(kRelaxed)) return -EINVAL;
  if (!idle()) return -EBUSY;
  remains = take_apart();
  return 0;
}

// From here on it is no area: no handle, no address leads to it, and its tables are blank.
Area::Remains Area::take_apart() noexcept {
  Remains remains{std::move(memory_), std::exchange(token_, nullptr), handle()};
  handle_.store(0, kRelaxed);
  size_.store(0, kRelaxed);
  base_.store(0, kRelaxed);
  ending_ = false;
  blocks_.close();
  return remains;
}

Area::Remains Area::take_apart_if_due() noexcept {
  return ending_ && idle() ? take_apart() : Remains{};
}

void Area::bury(Remains remains) noexcept {
  if (remains.handle == nullptr) return;
  registrar().deregister(remains.token);  // before the memory goes
  remains.memory = {};
  AreaTable::give_back(remains.handle);
}

void Area::stat(struct dma_stat& stat) noexcept {
  const std::lock_guard lock(mutex_);
  stat = {};
  stat.base = base();
  stat.size = size();
  for (uint32_t b = blocks_.first(); b != 0; b = blocks_.next(b)) {
    const Block& block = blocks_.at(b);
    const size_t bytes = size_t{block.lines} * kLine;
    const uint64_t state = block.state.load(kRelaxed);  // the one look at it
    size_t received = 0;
    size_t in_flight = 0;
    switch (block_state::kind(state)) {
      case block_state::kFree:
        if (blocks_.is_areas(block)) stat.largest_free = std::max(stat.largest_free, bytes);
        [[fallthrough]];
      case block_state::kFreeing:
        (blocks_.is_areas(block) ? stat.free : stat.posted) += bytes;
        break;
      case block_state::kReserved:
        if (block_state::flights(state) > 0) {
          stat.in_flight += bytes;
        } else {
          ((state & block_state::kReceived) != 0 ? stat.received : stat.reserved) += bytes;
        }
        break;
      case block_state::kPosted:
        stat.posted += bytes;
        break;
      case block_state::kRegion:
        block.region.load(kRelaxed)->stat(received, in_flight);
        stat.received += received;
        stat.in_flight += in_flight;
        stat.posted += bytes - received - in_flight;
        break;
    }
  }
}

bool Area::associate() noexcept {
  const std::lock_guard lock(mutex_);
  if (base_.load(kRelaxed) == 0) return false;
  ++associated_;
  return true;
}

void Area::dissociate() noexcept {
  Remains remains;
  {
    const std::lock_guard lock(mutex_);
    --associated_;
    remains = take_apart_if_due();
  }
  bury(std::move(remains));
}

}  // namespace sio::internal
