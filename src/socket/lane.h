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

}  // namespace sio::internal
