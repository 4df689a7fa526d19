// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <memory>
#include <vector>

#include "socket/bulk_receiver.h"
#include "socket/bulk_sender.h"
#include "socket/lane.h"

namespace sio::internal {

// Both halves of the bulk lane, and how the peer is told where it is.
class BulkLane {
 public:
  // Makes the queue pair. Throws.
  BulkLane(provider::Endpoint& endpoint, Link& link, Outcomes& outcomes, BulkPool* pool,
           BulkTurns* turns, CompletionHandler* handler);
  ~BulkLane() { tear_down(); }
  BulkLane(const BulkLane&) = delete;
  BulkLane& operator=(const BulkLane&) = delete;

  // wire::kLaneAddressSize bytes, registered if the first queue pair can not send them inline.
  const void* address() const noexcept { return address_->bytes; }
  uint32_t address_key() const noexcept {
    return address_->region != nullptr ? address_->region->lkey() : 0;
  }
  // What the peer has said. False: it has said it before. -errno in `error`.
  bool connect(const wire::LaneAddress& peer, int& error) noexcept;
  bool connected() const noexcept { return lane_.connected; }

  // The queue pair into the error state; drained() when nothing of it is under way.
  void fail() noexcept;
  // A send has failed: whether it was the last of all.
  void send_failed(uint32_t index) noexcept;
  bool drained() const noexcept;
  // The queue pair goes; what the halves have to tell stays.
  void tear_down() noexcept;

 private:
  struct Address {
    alignas(64) char bytes[64];
    std::unique_ptr<provider::MemoryRegion> region;
  };

  Lane lane_;
  std::unique_ptr<Address> address_;
  bool failing_ = false;
  bool sends_drained_ = false;
  uint32_t drain_marker_ = 0;

 public:
  BulkSender sender;
  BulkReceiver receiver;
};

}  // namespace sio::internal
