// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <sio/sio.h>

#include <memory>

#include "event/completion_hub.h"
#include "provider/provider.h"
#include "socket/staging.h"
#include "wire/wr_id.h"

namespace sio::internal {

// What both directions of a connection share: its queue pair and where its completions go.
struct Link {
  CompletionHub* hub = nullptr;
  std::unique_ptr<provider::QueuePair> queue_pair;
  uint32_t peer_credits = 0;   // for data: told to the peer, and not used by it
  uint32_t credits_given = 0;  // of both kinds, in frames; goes on for ever
  bool may_recall = false;     // credits: both ends have said so
  bool recalled = false;       // the peer was asked, and has not answered
  provider::Device* device = nullptr;
  CompletionHub::Seat seat;
  StagingPool* staging = nullptr;
  uint32_t buffers_held = 0;  // of the staging pool
  int fd = -1;                // the socket's, for the static probes
  sio_info info{};            // the counters of it

  uint64_t work_id(wire::Work kind, uint32_t index) const noexcept {
    return seat.work_id(kind, index);
  }
};

}  // namespace sio::internal
