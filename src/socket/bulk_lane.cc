// SPDX-License-Identifier: BSD-2-Clause
#include "socket/bulk_lane.h"

#include <algorithm>

namespace sio::internal {

BulkLane::BulkLane(provider::Endpoint& endpoint, Link& link, Outcomes& outcomes, BulkPool* pool,
                   BulkTurns* turns, CompletionHandler* handler)
    : address_(std::make_unique<Address>()),
      sender(link, lane_, outcomes),
      receiver(link, lane_, pool, turns, handler) {
  provider::QueueSizes sizes;
  sizes.send_wr = BulkSender::kQueueSize;
  sizes.recv_wr = BulkReceiver::queue_size(pool);
  sizes.send_sge = std::min(kMaxGather, link.device->limits().max_sge);
  lane_.hub = link.hub;
  lane_.seat = link.hub->join(*link.device, sizes.send_wr + sizes.recv_wr, handler);
  try {
    lane_.pair = endpoint.create_second_pair(*lane_.seat.queue, sizes);
    if (link.queue_pair->max_inline() < wire::kLaneAddressSize) {
      address_->region = link.device->register_memory(address_->bytes, sizeof address_->bytes);
    }
  } catch (...) {
    tear_down();
    throw;
  }
  const wire::LaneAddress ours{lane_.pair->number(), lane_.pair->first_sequence()};
  wire::encode_lane_address(ours, address_->bytes);
}

bool BulkLane::connect(const wire::LaneAddress& peer, int& error) noexcept {
  if (lane_.connected) return false;
  error = lane_.pair->connect(peer.number, peer.sequence);
  lane_.connected = error == 0;
  return true;
}

void BulkLane::fail() noexcept {
  receiver.stop();
  if (!lane_.connected || lane_.pair == nullptr) return;
  failing_ = true;
  lane_.pair->fail();
  drain_marker_ = sender.mark_end();
  if (sender.post_error() != 0) sends_drained_ = true;
}

void BulkLane::send_failed(uint32_t index) noexcept {
  sender.failed(index);
  if (failing_ && index == drain_marker_) sends_drained_ = true;
}

bool BulkLane::drained() const noexcept {
  if (lane_.pair == nullptr) return true;
  return (sends_drained_ || sender.nothing_posted()) && receiver.posted() == 0;
}

void BulkLane::tear_down() noexcept {
  lane_.pair.reset();
  if (lane_.seat) lane_.hub->leave(lane_.seat, true);  // it stays on the first queue pair's
  lane_.connected = false;
}

}  // namespace sio::internal
