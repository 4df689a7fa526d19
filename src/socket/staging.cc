// SPDX-License-Identifier: BSD-2-Clause
#include "socket/staging.h"

#include <exception>

#include "base/log.h"

namespace sio::internal {

void StagingPool::grow() {
  Chunk chunk;
  const size_t page = page_size();
  const size_t bytes = (size_t{kChunk} * kStagingBytes + page - 1) / page * page;
  chunk.memory = Mapping::for_area(bytes);
  chunk.region = device_.register_memory(chunk.memory.base(), bytes);
  chunk.buffers = std::make_unique<StagingBuffer[]>(kChunk);
  if (chunks_.size() == chunks_.capacity()) chunks_.reserve(2 * chunks_.size() + 1);
  free_.reserve(chunks_.capacity() * kChunk);
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

bool StagingPool::try_to_grow() noexcept {
  if (!may_grow()) return false;
  try {
    grow();
  } catch (const std::exception& error) {
    LOG_DEBUG("no memory for copies of messages: %s", error.what());
    no_memory_ = true;
    return false;
  }
  return true;
}

StagingBuffer* StagingPool::take(uint32_t& held) noexcept {
  if (held >= kMostPerConnection) return nullptr;
  if (free_.size() <= kept_from(held) && !try_to_grow()) return nullptr;
  StagingBuffer* buffer = free_.back();
  free_.pop_back();
  if (held++ == 0) --without_;
  return buffer;
}

void StagingPool::put_back(StagingBuffer* buffer, uint32_t& held) noexcept {
  free_.push_back(buffer);
  if (--held == 0) ++without_;
}

void StagingPool::give_back(StagingBuffer* buffer, uint32_t& held) noexcept {
  put_back(buffer, held);
  no_memory_ = false;
}

StagingPool& StagingPools::of(provider::Device& device) {
  for (auto& [of, pool] : pools_) {
    if (of == &device) return *pool;
  }
  pools_.emplace_back(&device, std::make_unique<StagingPool>(device));
  return *pools_.back().second;
}

}  // namespace sio::internal
