// SPDX-License-Identifier: BSD-2-Clause
#include "socket/receiver.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "wire/hello.h"

namespace sio::internal {

void Receiver::prepare(Region* region, bool stream, void (*on_returned)(void*), void* arg) {
  stream_ = stream;
  slots_ = region->slots();
  filled_.resize(std::bit_ceil(slots_));
  control_slots_.reserve(slots_);
  batch_ = std::max(1u, (slots_ - wire::kControlSlots) / 8);
  region_ = region;
  region_->set_on_returned(on_returned, arg, batch_);
}

Receiver::~Receiver() {
  if (region_ != nullptr) region_->detach();
}

int Receiver::post_all() noexcept {
  uint32_t batch[kPostBatch];
  for (uint32_t first = 0; first < slots_;) {
    uint32_t n = 0;
    while (n < kPostBatch && first < slots_) batch[n++] = first++;
    if (const int error = post(batch, n)) return error;
  }
  return 0;
}

int Receiver::post(const uint32_t* slots, uint32_t n) noexcept {
  ibv_recv_wr wrs[kPostBatch];
  ibv_sge sges[kPostBatch];
  const uint32_t lkey = region_->area().lkey(link_.device->index());
  for (uint32_t i = 0; i < n; ++i) {
    sges[i] = {reinterpret_cast<uintptr_t>(region_->slot(slots[i])), region_->slot_size(), lkey};
    wrs[i] = {link_.work_id(wire::Work::kReceive, slots[i]), i + 1 < n ? &wrs[i + 1] : nullptr,
              &sges[i], 1};
  }
  ibv_recv_wr* bad = nullptr;
  const int error = link_.queue_pair->post_recv(wrs, &bad);
  // Those before the one that was not taken will be flushed.
  const auto taken = error == 0 ? n : static_cast<uint32_t>(bad - wrs);
  posted_ += taken;
  link_.info.receives_posted += taken;
  return error;
}

void Receiver::fill(Filled filled) noexcept {
  --posted_;
  stream_ ? region_->arrived_bytes(filled.slot) : region_->arrived(filled.slot, filled.train);
  filled_[tail_++ & (filled_.size() - 1)] = filled;
}

IncomingMessage Receiver::deliver(uint32_t slot, uint32_t length) noexcept {
  --posted_;
  stream_ ? region_->deliver_bytes(slot, length) : region_->deliver(slot, length);
  count(length);
  return {region_->slot(slot), length, slot, 0};
}

void Receiver::message(uint32_t slot, uint32_t length) noexcept { fill({slot, length, false}); }

bool Receiver::train(uint32_t slot, uint32_t length) noexcept {
  const auto announced = [this](uint32_t n) { return bulk_ != nullptr && bulk_->announced(n); };
  if (!wire::check_train(region_->slot(slot), length, announced)) {
    --posted_;
    return false;
  }
  fill({slot, length, true});
  return true;
}

void Receiver::control(uint32_t slot) noexcept {
  --posted_;
  control_slots_.push_back(slot);
}

// The decoder is done with the slot at the head.
void Receiver::next_filled() noexcept {
  region_->finish(filled_[head_++ & (filled_.size() - 1)].slot);
  reading_ = false;
}

bool Receiver::peek(IncomingMessage& message) noexcept {
  if (have_next_) {
    message = next_;
    return true;
  }
  if (head_ == tail_ || broken_) return false;
  const Filled& filled = head();
  if (!filled.train) {
    next_ = {region_->slot(filled.slot), filled.length, filled.slot, 0};
  } else if (!at_announcement_ && !read_train(filled)) {
    broken_ = true;
    return false;
  }
  if (at_announcement_) {
    if (!bulk_->here()) return false;
    next_ = {bulk_->next().data, bulk_->next().length, kNoSlot, bulk_->next().block};
  }
  have_next_ = true;
  message = next_;
  return true;
}

// The next record of the train at the head. False: malformed.
bool Receiver::read_train(const Filled& filled) noexcept {
  char* const data = region_->slot(filled.slot);
  if (!reading_) reader_ = wire::TrainReader(data, filled.length);
  reading_ = true;
  wire::Record record;
  if (!reader_.next(record)) return false;
  if (record.announced) {
    at_announcement_ = bulk_ != nullptr && bulk_->expects(record.length);
    return at_announcement_;
  }
  next_ = {data + record.offset, record.length, filled.slot, record.offset};
  return true;
}

void Receiver::take_bytes(uint32_t n) noexcept {
  const bool last = n == next_.length;
  region_->hand_out_bytes(next_.slot, n, last);
  count(n);
  if (last) {
    have_next_ = false;
    return next_filled();
  }
  next_.data = static_cast<char*>(next_.data) + n;
  next_.length -= n;
  next_.offset += n;
}

bool Receiver::take(const IncomingMessage& message) noexcept {
  if (stream_) {
    take_bytes(message.length);
    return false;
  }
  const bool large = std::exchange(at_announcement_, false);
  bool grants = false;
  if (large) {
    grants = bulk_->take();
  } else {
    region_->hand_out(message.slot, message.offset, message.length);
  }
  have_next_ = false;
  count(message.length);
  if (!head().train || reader_.at_end()) next_filled();
  // The announcement may have been the last of its slot, which then has returned without anybody
  // having been told.
  return grants || (large && has_returned(false));
}

void Receiver::drop_all() noexcept {
  have_next_ = at_announcement_ = false;
  while (head_ != tail_) next_filled();
  if (bulk_ != nullptr) bulk_->drop_all();
}

int Receiver::post_returned(bool force, uint32_t& data_credits,
                            uint32_t& control_credits) noexcept {
  data_credits = control_credits = 0;
  const auto control = static_cast<uint32_t>(control_slots_.size());
  if (control > 0) {
    if (const int error = post(control_slots_.data(), std::min(control, kPostBatch))) return error;
    control_credits = std::min(control, kPostBatch);
    control_slots_.erase(control_slots_.begin(), control_slots_.begin() + control_credits);
  }
  while (region_->returned() >= (force ? 1 : batch_)) {
    uint32_t slots[kPostBatch];
    const int n = region_->collect(slots, kPostBatch);
    if (n <= 0) break;
    if (const int error = post(slots, static_cast<uint32_t>(n))) return error;
    data_credits += static_cast<uint32_t>(n);
  }
  return 0;
}

}  // namespace sio::internal
