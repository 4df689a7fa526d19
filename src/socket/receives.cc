// SPDX-License-Identifier: BSD-2-Clause
#include "socket/receives.h"

#include <algorithm>

#include "wire/hello.h"

namespace sio::internal {

ReceiveChain::ReceiveChain(const Region& region, uint32_t lkey, const CompletionHub::Seat& seat,
                           const uint32_t* slots, uint32_t n) noexcept {
  const auto base = reinterpret_cast<uintptr_t>(region.slot(0));
  const uint32_t size = region.slot_size();
  const uint64_t id = seat.work_id(wire::Work::kReceive, 0);
  for (uint32_t i = 0; i < n; ++i) {
    sges[i] = {base + size_t{slots[i]} * size, size, lkey};
    wrs[i] = {id | slots[i], &wrs[i + 1], &sges[i], 1};
  }
  wrs[n - 1].next = nullptr;
}

OwnReceives::OwnReceives(Link& link, Region& region, void (*on_returned)(void*), void* arg)
    : Receives(link, region,
               {region.slots() - wire::kControlSlots, region.slots() - wire::kControlSlots}),
      batch_(std::max(1u, credits_.most / 4)) {
  control_slots_.reserve(region.slots());
  region.set_on_returned(on_returned, arg, batch_);
}

int OwnReceives::begin() noexcept {
  uint32_t batch[ReceiveChain::kMost];
  for (uint32_t first = 0; first < region_.slots();) {
    uint32_t n = 0;
    while (n < ReceiveChain::kMost && first < region_.slots()) batch[n++] = first++;
    if (const int error = post(batch, n)) return error;
  }
  return 0;
}

int OwnReceives::post(const uint32_t* slots, uint32_t n) noexcept {
  ReceiveChain chain(region_, region_.area().lkey(link_.device->index()), link_.seat, slots, n);
  ibv_recv_wr* bad = nullptr;
  const int error = link_.queue_pair->post_recv(chain.wrs, &bad);
  // Those before the one that was not taken will be flushed.
  const uint32_t taken = error == 0 ? n : chain.before(bad);
  posted_ += taken;
  link_.info.receives_posted += taken;
  return error;
}

bool OwnReceives::has_returned(bool force) noexcept {
  const uint32_t enough = least(force);
  const bool slots = region_.returned() >= enough || (link_.peer_credits == 0 && region_.watch());
  return slots || !control_slots_.empty();
}

int OwnReceives::post_returned(bool force, uint32_t& data_credits,
                               uint32_t& control_credits) noexcept {
  data_credits = control_credits = 0;
  const auto control = static_cast<uint32_t>(control_slots_.size());
  if (control > 0) {
    const uint32_t n = std::min(control, ReceiveChain::kMost);
    if (const int error = post(control_slots_.data(), n)) return error;
    control_credits = n;
    control_slots_.erase(control_slots_.begin(), control_slots_.begin() + n);
  }
  if (region_.returned() < least(force)) return 0;
  uint32_t slots[ReceiveChain::kMost];
  while (const int n = region_.collect(slots, ReceiveChain::kMost)) {
    if (const int error = post(slots, static_cast<uint32_t>(n))) return error;
    data_credits += static_cast<uint32_t>(n);
  }
  return 0;
}

}  // namespace sio::internal
