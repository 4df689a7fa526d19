// SPDX-License-Identifier: BSD-2-Clause
#include "socket/receiver.h"

#include <utility>

namespace sio::internal {

Receiver::Receiver(Link& link, std::unique_ptr<Receives> receives, bool stream)
    : link_(link),
      receives_(std::move(receives)),
      region_(&receives_->region()),
      memory_(region_->area().handle()),
      stream_(stream),
      filled_(receives_->filled()) {}

// Without the bulk lane, which may have gone.
Receiver::~Receiver() {
  while (!filled_.empty()) next_filled();
}

void Receiver::fill(Filled filled) noexcept {
  receives_->completed();
  stream_ ? region_->arrived_bytes(filled.slot) : region_->arrived(filled.slot, filled.train);
  filled_.push(filled);
}

void Receiver::message(uint32_t slot, uint32_t length) noexcept { fill({slot, length, false}); }

bool Receiver::train(uint32_t slot, uint32_t length) noexcept {
  const auto announced = [this](uint32_t n) { return bulk_ != nullptr && bulk_->announced(n); };
  if (!wire::check_train(region_->slot(slot), length, announced)) {
    discard(slot);
    return false;
  }
  fill({slot, length, true});
  return true;
}

// The decoder is done with the slot at the head.
void Receiver::next_filled() noexcept {
  region_->finish(filled_.front().slot);
  filled_.pop();
  reading_ = false;
}

bool Receiver::peek(IncomingMessage& message) noexcept {
  if (have_next_) {
    message = next_;
    return true;
  }
  if (filled_.empty() || broken_) return false;
  const Filled& filled = filled_.front();
  if (!filled.train) {
    next_ = {region_->slot(filled.slot), filled.length, filled.slot, 0};
  } else if (!at_announcement_) {
    wire::Record record;
    if (read_record(filled, record)) {
      next_ = {region_->slot(filled.slot) + record.offset, record.length, filled.slot,
               record.offset};
    } else if (broken_) {
      return false;
    }
  }
  if (at_announcement_) {
    if (!bulk_->here()) return false;
    next_ = {bulk_->next().data, bulk_->next().length, kNoSlot, bulk_->next().block};
  }
  have_next_ = true;
  message = next_;
  return true;
}

// The next record of the train at the head, if it is a message. False: it is an announcement, or
// malformed.
bool Receiver::read_record(const Filled& filled, wire::Record& record) noexcept {
  if (!reading_) reader_ = wire::TrainReader(region_->slot(filled.slot), filled.length);
  reading_ = true;
  broken_ = !reader_.next(record);
  if (broken_ || !record.announced) return !broken_;
  at_announcement_ = bulk_ != nullptr && bulk_->expects(record.length);
  broken_ = !at_announcement_;
  return false;
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
  if (!filled_.front().train || reader_.at_end()) next_filled();
  // The announcement may have been the last of its slot, which then has returned without anybody
  // having been told.
  return grants || (large && receives_->has_returned(false));
}

void Receiver::drop_all() noexcept {
  have_next_ = at_announcement_ = false;
  while (!filled_.empty()) next_filled();
  if (bulk_ != nullptr) bulk_->drop_all();
  receives_->dropped();
}

}  // namespace sio::internal
