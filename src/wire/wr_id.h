// SPDX-License-Identifier: BSD-2-Clause
//
// What a work request's wr_id says: whose it is and which it was. A failed completion has
// nothing else that can be trusted.
//
//   63..60 kind   59..40 generation of the connection   39..20 connection   19..0 index
#pragma once

#include <cstdint>

namespace sio::internal::wire {

enum class Work : uint8_t {
  kReceive = 1,  // index: the slot
  kSend = 2,     // index: the place in the send queue's ring
  kBulkReceive = 3,
  kBulkSend = 4,
};

struct WorkId {
  Work kind;
  uint32_t generation;  // 20 bits: tells a completion of a connection that has gone
  uint32_t connection;  // 20 bits: index in the channel's table
  uint32_t index;       // 20 bits
};

inline constexpr uint32_t kWorkIdMask = 0xfffff;

constexpr uint64_t encode_work_id(WorkId id) noexcept {
  return static_cast<uint64_t>(id.kind) << 60 |
         static_cast<uint64_t>(id.generation & kWorkIdMask) << 40 |
         static_cast<uint64_t>(id.connection & kWorkIdMask) << 20 | (id.index & kWorkIdMask);
}

constexpr WorkId decode_work_id(uint64_t wr_id) noexcept {
  return {static_cast<Work>(wr_id >> 60), static_cast<uint32_t>(wr_id >> 40) & kWorkIdMask,
          static_cast<uint32_t>(wr_id >> 20) & kWorkIdMask,
          static_cast<uint32_t>(wr_id) & kWorkIdMask};
}

// What the ids of one connection in one of its generations have in common.
constexpr uint64_t base_of(uint64_t wr_id) noexcept {
  return wr_id & (uint64_t{kWorkIdMask} << 40 | uint64_t{kWorkIdMask} << 20);
}
constexpr uint32_t connection_of(uint64_t wr_id) noexcept {
  return static_cast<uint32_t>(wr_id >> 20) & kWorkIdMask;
}
// The base of the same connection's next generation.
constexpr uint64_t next_generation(uint64_t base) noexcept {
  return base_of(base + (uint64_t{1} << 40));
}

}  // namespace sio::internal::wire
