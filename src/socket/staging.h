// SPDX-License-Identifier: BSD-2-Clause
//
// Registered memory for what is copied on its way out: messages from outside any area, and the
// small ones that travel in a train. One pool per channel and device.
//
// 1. Each connection is sure of one buffer from the day it joins: whatever peers others wait for,
//    and however short memory is, it waits for its own peer alone.
// 2. A pool grows with use up to kMostPerConnection buffers for each connection, and does not
//    shrink while the channel lives.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "memory/mapping.h"
#include "provider/provider.h"

namespace sio::internal {

struct StagingBuffer {
  char* data;
  uint32_t lkey;
};

// Bytes of a buffer: a train of 8 KiB, or one message of that size behind a record's header.
inline constexpr uint32_t kTrainBytes = 8192;
inline constexpr uint32_t kStagingBytes = kTrainBytes + 64;

class StagingPool {
 public:
  static constexpr uint32_t kMostPerConnection = 16;

  explicit StagingPool(provider::Device& device) noexcept : device_(device) {}

  // A connection comes: makes sure of its buffer. Throws ENOMEM.
  void join();
  void leave() noexcept;

  // `held`: how many the connection has. Null: it must wait until one of its own comes back.
  StagingBuffer* take(uint32_t& held) noexcept;
  // Whether take() has so many for it: one or two.
  bool may_take(uint32_t held, uint32_t n = 1) const noexcept {
    if (held + n > kMostPerConnection) return false;
    // The first may be the one that was kept for it.
    const uint32_t kept = kept_from(held + n - 1) - (held == 0 && n > 1 ? 1 : 0);
    return free_.size() >= size_t{kept} + n || may_grow();
  }
  void give_back(StagingBuffer* buffer, uint32_t& held) noexcept;
  // One that was just taken, and not used: there is no more memory than before.
  void put_back(StagingBuffer* buffer, uint32_t& held) noexcept;

 private:
  static constexpr uint32_t kChunk = 8;  // buffers

  struct Chunk {
    Mapping memory;
    std::unique_ptr<provider::MemoryRegion> region;
    std::unique_ptr<StagingBuffer[]> buffers;
  };

  bool may_grow() const noexcept {
    return !no_memory_ && chunks_.size() * kChunk < size_t{connections_} * kMostPerConnection;
  }
  void grow();
  bool try_to_grow() noexcept;
  // Buffers that are free, but not for a connection that has so many.
  uint32_t kept_from(uint32_t held) const noexcept { return held == 0 ? 0 : without_; }

  provider::Device& device_;
  std::vector<Chunk> chunks_;
  std::vector<StagingBuffer*> free_;
  uint32_t connections_ = 0;
  uint32_t without_ = 0;    // connections that hold none; there are as many free ones at least
  bool no_memory_ = false;  // to grow; tried again when a buffer has come back
};

// The pools of a channel.
class StagingPools {
 public:
  StagingPool& of(provider::Device& device);

 private:
  std::vector<std::pair<provider::Device*, std::unique_ptr<StagingPool>>> pools_;
};

}  // namespace sio::internal
