// SPDX-License-Identifier: BSD-2-Clause
#include "socket/outcomes.h"

#include <algorithm>
#include <bit>
#include <new>

#include "socket/gather.h"

namespace sio::internal {
namespace {

// An idle connection is to cost little; and for a message in as many pieces as there may be there
// is room when no other is under way, however short memory is.
constexpr size_t kFirstRecords = kMaxGather;

}  // namespace

void Outcomes::prepare(bool told) {
  if (records_.empty()) records_.resize(kFirstRecords);
  tell_ = told;
  not_told_ = 0;
  for (uint32_t i = taken_; i != accepted_; ++i) not_told_ += is_told(at(i)) ? 0 : 1;
}

// To twice as many and more, until it is as large as it may get: no allocation once the traffic has
// settled.
bool Outcomes::grow(uint32_t n) noexcept {
  if (full(n)) return false;
  try {
    std::vector<SendRecord> larger(
        std::max(records_.size() * 2, std::bit_ceil(size_t{accepted_ - taken_ + n})));
    for (uint32_t i = taken_; i != accepted_; ++i) larger[i & (larger.size() - 1)] = at(i);
    records_.swap(larger);
  } catch (const std::bad_alloc&) {
    no_memory_ = true;
    return false;  // there are others on their way, so there will be room
  }
  return true;
}

void Outcomes::finish(uint32_t n, int error) noexcept {
  if (bulk_ > 0) return finish_lane(n, error, false);
  for (; n > 0; --n) finish(at(done_++), error);
  pass_over_untold();
}

void Outcomes::finish(SendRecord& record, int error) noexcept {
  record.error = error;
  if (!is_told(record) && record.flight.area != nullptr) {
    Area::end_flight(record.flight, record.release);
  }
  if (record.completion != nullptr) record.completion->sent(error);
}

void Outcomes::finish_lane(uint32_t n, int error, bool bulk) noexcept {
  for (uint32_t i = done_; n > 0 && i != accepted_; ++i) {
    SendRecord& record = at(i);
    if (record.bulk != bulk || record.finished) continue;
    record.finished = true;
    finish(record, error);
    --n;
  }
  for (; done_ != accepted_ && at(done_).finished; ++done_) bulk_ -= at(done_).bulk ? 1 : 0;
  pass_over_untold();
}

void Outcomes::finish_at(uint32_t place, int error) noexcept {
  at(place).finished = true;
  finish(at(place), error);
  while (done_ != accepted_ && at(done_).finished) ++done_;
  pass_over_untold();
}

const SendRecord* Outcomes::untold() noexcept {
  pass_over_untold();
  return told_ == done_ ? nullptr : &at(told_);
}

void Outcomes::taken() noexcept {
  if (returned_ == taken_) Area::end_flight(at(returned_++).flight, false);
  ++taken_;
  no_memory_ = false;
  pass_over_untold();
}

void Outcomes::give_back() noexcept {
  for (; returned_ != done_; ++returned_) {
    const SendRecord& record = at(returned_);
    if (is_told(record)) Area::end_flight(record.flight, false);
  }
}

// Those of which no event comes count as told, and as taken, once those before them are.
void Outcomes::pass_over_those_not_told() noexcept {
  while (told_ != done_ && !is_told(at(told_))) ++told_;
  while (taken_ != told_ && !is_told(at(taken_))) {
    if (returned_ == taken_) ++returned_;
    ++taken_;
    --not_told_;
    no_memory_ = false;
  }
}

}  // namespace sio::internal
