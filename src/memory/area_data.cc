// SPDX-License-Identifier: BSD-2-Clause
//
// Areas: the data path. Nothing here allocates or makes a system call (but for a contended mutex).
#include <cerrno>
#include <utility>

#include "memory/area.h"
#include "memory/bulk_pool.h"
#include "memory/order.h"
#include "memory/plain_release.h"
#include "memory/region.h"

namespace sio::internal {

using namespace block_state;

// A stranger's look at a block goes: load the state; read what the block is; compare-and-swap the
// state. Acquire on the load keeps the reads behind it; release on the swap keeps them before it
// (invariant 5). Acquire on the swap as well: the bytes that the former owner wrote are seen by
// the new one. Relaxed is what is between the two, or under the mutex.
namespace {
constexpr auto kLoad = std::memory_order_acquire;
}  // namespace

int Area::take(size_t n, uint32_t& block) noexcept {
  const size_t size = size_.load(kRelaxed);
  if (size == 0) return -EINVAL;
  if (n > size) return -EMSGSIZE;
  block = blocks_.take(static_cast<uint32_t>((n + kLine - 1) / kLine));
  if (block == 0) return -ENOBUFS;
  blocks_.at(block).bytes.store(n, kRelaxed);
  return 0;
}

uintptr_t Area::address_of(const Block& block) const noexcept {
  return base_.load(kRelaxed) + size_t{block.start.load(kRelaxed)} * kLine;
}

int Area::reserve(void** p, size_t n) noexcept {
  if (n == 0) return -EINVAL;
  const std::lock_guard lock(mutex_);
  uint32_t index;
  if (const int error = take(n, index)) return error;
  Block& block = blocks_.at(index);
  // Release: pairs with kLoad; who sees the reservation sees what it is.
  block.state.store(make(kReserved, ++sequence_), std::memory_order_release);
  *p = reinterpret_cast<void*>(address_of(block));
  return 0;
}

int Area::take_for_region(size_t n, Region* region, uint32_t& index, char** base) noexcept {
  const std::lock_guard lock(mutex_);
  if (const int error = take(n, index)) return error;
  Block& block = blocks_.at(index);
  block.region.store(region, kRelaxed);
  block.state.store(make(kRegion, ++sequence_), std::memory_order_release);  // as in reserve
  *base = reinterpret_cast<char*>(address_of(block));
  return 0;
}

void Area::give_back(uint32_t block) noexcept {
  Remains remains;
  {
    const std::lock_guard lock(mutex_);
    const Block& given = blocks_.at(block);
    BulkPool* const pool = blocks_.is_areas(given) ? nullptr : static_cast<BulkPool*>(given.home);
    blocks_.give_back(block);
    if (pool != nullptr) pool->freed();
    if (!ending_) return;
    remains = take_apart_if_due();
  }
  bury(std::move(remains));
}

int Area::release(void* p, size_t n) noexcept {
  return release_plain(
      p, n, [](Region& region, uint32_t slot) { return region.return_released(slot); },
      [=, this] { return release_not_plain(p, n); });
}

int Area::release_not_plain(void* p, size_t n) noexcept {
  // Of the same region as the last one, too; if that is not so the long way tells.
  Region* const recent = recent_.load(kLoad);
  if (recent != nullptr && contains(p) && recent->release_part(p, n) == 0) return 0;
  return release_other(p, n);
}

[[gnu::noinline]] int Area::release_other(void* p, size_t n) noexcept {
  const uint32_t index = blocks_.find(offset_of(p) / kLine);
  if (index == 0) return -EINVAL;
  Block& block = blocks_.at(index);
  if (kind(block.state.load(kLoad)) != kRegion) return release_block(index, p, n);
  Region* region = block.region.load(kRelaxed);
  if (region == nullptr) return -EINVAL;
  recent_.store(region, std::memory_order_release);  // pairs with kLoad, for who has never seen it
  return region->release(p, n);
}

int Area::release_block(uint32_t index, const void* p, size_t n) noexcept {
  Block& block = blocks_.at(index);
  uint64_t state = block.state.load(kLoad);
  do {
    if (!at_rest(state)) return -EINVAL;
    if (address_of(block) != reinterpret_cast<uintptr_t>(p)) return -EINVAL;
    if (block.bytes.load(kRelaxed) != n) return -EINVAL;
  } while (!block.state.compare_exchange_weak(state, freeing(state), kSwap, kLoad));
  give_back(index);
  return 0;
}

void Area::take_back(uint32_t index) noexcept {
  Block& block = blocks_.at(index);
  uint64_t state = block.state.load(kRelaxed);
  uint64_t next;
  do {
    // Gone, or in flight: by a program that used an address it was never given.
    if (kind(state) != kReserved) return;
    next = flights(state) == 0 ? freeing(state) : state | kReleasing;
  } while (!block.state.compare_exchange_weak(state, next, kSwap, kRelaxed));
  if (kind(next) == kFreeing) give_back(index);
}

int Area::begin_flight(const void* p, size_t n, Flight& flight, bool whole) noexcept {
  const uint32_t index = blocks_.find(offset_of(p) / kLine);
  if (index == 0) return -EFAULT;
  Block& block = blocks_.at(index);
  if (kind(block.state.load(kLoad)) == kRegion) {
    Region* region = block.region.load(kRelaxed);
    return region == nullptr ? -EFAULT : region->begin_flight(p, n, flight, whole);
  }
  flight = {this, index, 0};
  return begin_block_flight(block, p, n, whole);
}

int Area::begin_block_flight(Block& block, const void* p, size_t n, bool whole) noexcept {
  uint64_t state = block.state.load(kLoad);
  do {
    if (kind(state) != kReserved || (state & kReleasing) != 0) return -EFAULT;
    const size_t bytes = block.bytes.load(kRelaxed);
    const size_t skip = reinterpret_cast<uintptr_t>(p) - address_of(block);
    if (skip > bytes || n > bytes - skip) return -EFAULT;
    if (whole && n != bytes) return -EINVAL;
    if (flights(state) == kMaxFlights) return -EAGAIN;
  } while (!block.state.compare_exchange_weak(state, state + kFlight, kSwap, kLoad));
  return 0;
}

void Area::end_flight(Flight flight, bool release) noexcept {
  Area& area = *flight.area;
  if (flight.piece == 0) {
    area.end_block_flight(flight.block, release);
  } else {
    area.blocks_.at(flight.block).region.load(kRelaxed)->end_flight(flight.piece, release);
  }
}

void Area::end_block_flight(uint32_t index, bool release) noexcept {
  Block& block = blocks_.at(index);
  uint64_t state = block.state.load(kRelaxed);  // the flight is ours: it is in use
  uint64_t next;
  do {
    next = (state - kFlight) | (release ? kReleasing : 0);
    if (flights(next) == 0 && (next & kReleasing) != 0) next = freeing(next);
  } while (!block.state.compare_exchange_weak(state, next, kSwap, kRelaxed));
  if (kind(next) == kFreeing) give_back(index);
}

}  // namespace sio::internal
