// SPDX-License-Identifier: BSD-2-Clause
//
// The bulk lane of a connection: a second queue pair, on which messages larger than the peer's
// slots go straight into memory that the peer has set apart for each. It is made when the first
// such message goes either way.
#pragma once

#include <cstdint>
#include <memory>

#include "event/completion_hub.h"
#include "memory/bulk_pool.h"
#include "provider/provider.h"
#include "wire/frame.h"
#include "wire/wr_id.h"

namespace sio::internal {

struct Lane {
  CompletionHub* hub = nullptr;
  CompletionHub::Seat seat;
  std::unique_ptr<provider::SecondQueuePair> pair;
  bool connected = false;  // the peer has said where its end is

  uint64_t work_id(wire::Work kind, uint32_t index) const noexcept {
    return seat.work_id(kind, index);
  }
};

// SENDs that a message goes as.
constexpr uint32_t bulk_pieces(uint64_t length) noexcept {
  return static_cast<uint32_t>((length + wire::kBulkPiece - 1) / wire::kBulkPiece);
}

// What announces and grants large messages gathers while the lane is busy anyway: with so many
// messages, and either as many as wait or bytes enough for several round trips (20 us at 100 Gb/s).
inline constexpr uint32_t kLaneBusy = 4;
inline constexpr uint64_t kLaneBusyBytes = uint64_t{256} * 1024;

// `ahead` are to go over it, the oldest with these lengths, while `waiting` are not announced, or
// not granted.
template <typename LengthOf>
bool lane_stays_busy(uint32_t ahead, uint32_t waiting, LengthOf length_of) noexcept {
  if (ahead < kLaneBusy || ahead >= waiting) return ahead >= kLaneBusy;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < kLaneBusy; ++i) bytes += length_of(i);
  return bytes >= kLaneBusyBytes;
}

}  // namespace sio::internal
