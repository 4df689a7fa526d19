// SPDX-License-Identifier: BSD-2-Clause
#include "socket/receives.h"

#include <algorithm>

#include "wire/hello.h"

namespace sio::internal {

void ReceiveChain::prepare(const Region& region, uint32_t lkey) noexcept {
  base_ = reinterpret_cast<uintptr_t>(region.slot(0));
  for (uint32_t i = 0; i < kMost; ++i) {
    sges_[i] = {base_, region.slot_size(), lkey};
    wrs_[i] = {0, i + 1 < kMost ? &wrs_[i + 1] : nullptr, &sges_[i], 1};
  }
}

OwnReceives::OwnReceives(Link& link, Region& region, void (*on_returned)(void*), void* arg)
    : Receives(link, region,
               {region.slots() - wire::kControlSlots, region.slots() - wire::kControlSlots}),
      batch_(std::max(1u, credits_.most / 4)) {
  control_slots_.reserve(region.slots());
  region.set_on_returned(on_returned, arg, batch_);
}

int OwnReceives::begin() noexcept {
  chain_.prepare(region_, region_.area().lkey(link_.device->index()));
  uint32_t batch[ReceiveChain::kMost];
  for (uint32_t first = 0; first < region_.slots();) {
    uint32_t n = 0;
    while (n < ReceiveChain::kMost && first < region_.slots()) batch[n++] = first++;
    if (const int error = post(batch, n)) return error;
  }
  return 0;
}

int OwnReceives::post(const uint32_t* slots, uint32_t n) noexcept {
  int error;
  // Those before the one that was not taken will be flushed.
  const uint32_t taken = chain_.post(*link_.queue_pair, link_.seat, slots, n, error);
  posted_ += taken;
  link_.info.receives_posted += taken;
  return error;
}

bool OwnReceives::has_returned(bool force) noexcept {
  const uint32_t enough = least(force);
  const bool slots = region_.returned() >= enough || (link_.peer_credits == 0 && region_.watch());
  return slots || !control_slots_.empty();
}

int OwnReceives::post_returned(bool force, Due& due) noexcept {
  const auto control = static_cast<uint32_t>(control_slots_.size());
  if (control > 0) {
    const uint32_t n = std::min(control, ReceiveChain::kMost);
    if (const int error = post(control_slots_.data(), n)) return error;
    due.control = n;
    control_slots_.erase(control_slots_.begin(), control_slots_.begin() + n);
  }
  if (region_.returned() < least(force)) return 0;
  uint32_t slots[ReceiveChain::kMost];
  while (const int n = region_.collect(slots, ReceiveChain::kMost)) {
    if (const int error = post(slots, static_cast<uint32_t>(n))) return error;
    due.data += static_cast<uint32_t>(n);
  }
  return 0;
}

}  // namespace sio::internal
