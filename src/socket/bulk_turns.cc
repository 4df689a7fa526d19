// SPDX-License-Identifier: BSD-2-Clause
#include "socket/bulk_turns.h"

#include <algorithm>
#include <iterator>

namespace sio::internal {
namespace {

// What is on its way has mostly come within the first.
constexpr milliseconds kShortest{50};
constexpr milliseconds kLongest{3200};

}  // namespace

void BulkTurns::wait(Turn& turn) noexcept {
  if (!turn.is_linked()) {
    waiting_.push_back(turn);
    if (&waiting_.front() == &turn) begin_turn();
  }
  wake_others_later();
}

void BulkTurns::pass(Turn& turn) noexcept {
  if (!turn.is_linked()) return;
  const bool first = &waiting_.front() == &turn;
  waiting_.erase(waiting_.iterator_to(turn));
  if (waiting_.empty()) return;
  if (first) begin_turn();
  channel_.look_at_extension_later();
}

void BulkTurns::begin_turn() noexcept {
  open_ = false;
  length_ = kShortest;
  ends_ = Clock::now() + length_;
}

bool BulkTurns::others_may() noexcept {
  const TimePoint now = Clock::now();
  if (now < ends_) return open_;
  open_ = !open_;
  if (!open_) length_ = std::min(length_ * 2, kLongest);
  ends_ = now + length_;
  return open_;
}

void BulkTurns::serve() noexcept {
  while (!waiting_.empty()) {
    const Turn& first = waiting_.front();
    first.handler->settle();
    if (waiting_.empty() || &waiting_.front() != &first) continue;
    if (others_may()) serve_others(first);
    return wake_others_later();
  }
}

// Each has one look; who goes on waiting does so behind those that have not had theirs.
void BulkTurns::serve_others(const Turn& first) noexcept {
  for (size_t n = waiting_.size(); n > 1; --n) {
    if (waiting_.size() < 2 || &waiting_.front() != &first) return;
    const auto next = std::next(waiting_.begin());
    const Turn& other = *next;
    waiting_.splice(waiting_.end(), waiting_, next);
    other.handler->settle();
  }
}

// When they may take some again: nothing else need happen then.
void BulkTurns::wake_others_later() noexcept {
  if (waiting_.size() < 2 || open_) return;
  if (wakes_ > Clock::now() && wakes_ <= ends_) return;  // soon enough
  if (channel_.look_at_extension_at(ends_)) wakes_ = ends_;
}

}  // namespace sio::internal
