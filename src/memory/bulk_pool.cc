// SPDX-License-Identifier: BSD-2-Clause
#include "memory/bulk_pool.h"

#include <utility>

#include "base/error.h"

namespace sio::internal {

using namespace block_state;

BulkPool::BulkPool(Area& area, size_t bytes) : area_(area), size_(bytes / kLine * kLine) {
  const std::lock_guard lock(area_.mutex_);
  const uint32_t first = area_.blocks_.open_pool(*this, static_cast<uint32_t>(size_ / kLine));
  if (first == 0) throw_errno(ENOBUFS, "receive memory");
  first_line_ = area_.blocks_.at(first).start.load(std::memory_order_relaxed);
}

BulkPool::~BulkPool() {
  const std::lock_guard lock(area_.mutex_);
  area_.blocks_.close_pool(*this, first_line_, static_cast<uint32_t>(size_ / kLine));
}

void BulkPool::set_on_freed(void (*fn)(void*), void* arg) noexcept {
  const std::lock_guard lock(area_.mutex_);
  on_freed_ = fn;
  on_freed_arg_ = arg;
}

uint32_t BulkPool::take(size_t n, char*& data) noexcept {
  const std::lock_guard lock(area_.mutex_);
  const uint32_t index = area_.blocks_.take(*this, static_cast<uint32_t>((n + kLine - 1) / kLine));
  if (index == 0) {
    starved_ = true;  // until some comes back, whatever others find
    return 0;
  }
  Block& block = area_.blocks_.at(index);
  block.bytes.store(n, std::memory_order_relaxed);
  // Release: as in Area::reserve.
  block.state.store(make(kPosted, ++area_.sequence_), std::memory_order_release);
  data = reinterpret_cast<char*>(area_.address_of(block));
  return index;
}

void BulkPool::hand_out(uint32_t index) noexcept {
  Block& block = area_.blocks_.at(index);
  const uint64_t sequence = block.state.load(std::memory_order_relaxed) & ~uint64_t{0xffffffff};
  // Release: whoever takes the message sees what the device has written there.
  block.state.store(sequence | kReceived | kReserved, std::memory_order_release);
}

void BulkPool::freed() noexcept {
  if (std::exchange(starved_, false) && on_freed_ != nullptr) on_freed_(on_freed_arg_);
}

}  // namespace sio::internal
