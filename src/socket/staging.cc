// SPDX-License-Identifier: BSD-2-Clause
#include "socket/staging.h"

#include <exception>

namespace sio::internal {

void StagingPool::grow() {
  Chunk chunk;
  const size_t page = page_size();
  const size_t bytes = (size_t{kChunk} * kStagingBytes + page - 1) / page * page;
  chunk.memory = Mapping::for_area(bytes);
  chunk.region = device_.register_memory(chunk.memory.base(), bytes);
  chunk.buffers = std::make_unique<StagingBuffer[]>(kChunk);
  free_.reserve((chunks_.size() + 1) * kChunk);
  chunks_.push_back(std::move(chunk));
  Chunk& made = chunks_.back();
  for (uint32_t i = 0; i < kChunk; ++i) {
    made.buffers[i] = {made.memory.base() + size_t{i} * kStagingBytes, made.region->lkey()};
    free_.push_back(&made.buffers[i]);
  }
}

void StagingPool::join() {
  if (free_.size() < without_ + 1) grow();
  ++connections_;
  ++without_;
}

void StagingPool::leave() noexcept {
  --connections_;
  --without_;
}

StagingBuffer* StagingPool::take(uint32_t& held) noexcept {
  if (held >= kMostPerConnection) return nullptr;
  if (held > 0 && free_.size() <= without_) {
    if (!may_grow()) return nullptr;
    try {
      grow();
    } catch (const std::exception&) {
      no_memory_ = true;  // it has others in flight, and goes on with these
      return nullptr;
    }
  }
  if (held++ == 0) --without_;
  StagingBuffer* buffer = free_.back();
  free_.pop_back();
  return buffer;
}

void StagingPool::give_back(StagingBuffer* buffer, uint32_t& held) noexcept {
  free_.push_back(buffer);
  no_memory_ = false;
  if (--held == 0) ++without_;
}

StagingPool& StagingPools::of(provider::Device& device) {
  for (auto& [of, pool] : pools_) {
    if (of == &device) return *pool;
  }
  pools_.emplace_back(&device, std::make_unique<StagingPool>(device));
  return *pools_.back().second;
}

}  // namespace sio::internal
