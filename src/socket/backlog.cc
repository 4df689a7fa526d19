// SPDX-License-Identifier: BSD-2-Clause
#include "socket/backlog.h"

#include <algorithm>
#include <utility>

namespace sio::internal {
namespace {

milliseconds pause_after(uint32_t earlier) noexcept {
  milliseconds pause = Backlog::kFirstPause;
  while (earlier-- > 0 && pause < Backlog::kLongestPause) pause *= 2;
  return pause;
}

}  // namespace

void Backlog::set_limit(int wish) noexcept {
  limit_ = static_cast<size_t>(std::clamp(wish, 1, kMost));
}

bool Backlog::holds(uint64_t serial) const noexcept {
  return std::any_of(waiting_.begin(), waiting_.end(),
                     [&](const Pending& one) { return one.endpoint->serial() == serial; });
}

Backlog::Queue Backlog::newcomer(std::unique_ptr<provider::Endpoint> endpoint,
                                 const wire::Hello& hello) {
  Queue one;
  one.push_back({std::move(endpoint), hello});
  return one;
}

void Backlog::add(Queue newcomer) noexcept {
  waiting_.splice(waiting_.end(), newcomer);
  ++owed_;
}

void Backlog::forget(uint64_t serial) noexcept {
  waiting_.remove_if([&](const Pending& one) { return one.endpoint->serial() == serial; });
  owed_ = std::min(owed_, waiting_.size());
}

Backlog::Queue Backlog::take_first() noexcept {
  Queue first;
  first.splice(first.begin(), waiting_, waiting_.begin());
  return first;
}

void Backlog::put_back(Queue first) noexcept {
  first.front().refused = true;
  waiting_.splice(waiting_.begin(), first);
}

Backlog::Queue Backlog::take_all() noexcept {
  owed_ = 0;
  return std::exchange(waiting_, {});
}

void Backlog::event_given() noexcept {
  --owed_;
  ++given_;
}

std::optional<milliseconds> Backlog::tell_later(TimePoint now) noexcept {
  ++refused_;
  Pending& first = waiting_.front();
  const milliseconds pause = pause_after(first.pauses);
  if (due_ <= now + pause) return std::nullopt;
  ++first.pauses;
  due_ = now + pause;
  return pause;
}

bool Backlog::tell_again() noexcept {
  refused_ = std::min(refused_, waiting_.size());
  if (refused_ == 0 || owed_ + given_ >= waiting_.size()) return false;
  --refused_;
  ++owed_;
  return true;
}

}  // namespace sio::internal
