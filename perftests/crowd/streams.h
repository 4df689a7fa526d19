// SPDX-License-Identifier: BSD-2-Clause
//
// A client's messages on all connections of a crowd (crowd/crowd.h): so many in flight on each, the
// connections in turn.
#pragma once

#include <deque>
#include <vector>

#include "crowd/crowd.h"
#include "process.h"

namespace sio_perf {

template <typename Crowd>
class CrowdStreams {
 public:
  CrowdStreams(Crowd& crowd, const Parameters& parameters)
      : crowd_(crowd),
        event_(parameters.event),
        depth_(parameters.tx_depth),
        at_once_(confirmed_at_once(parameters)),
        members_(parameters.connections),
        message_(parameters.size, kCount) {
    for (uint32_t i = 0; i < parameters.connections; ++i) queue(i);
  }

  // `turn`: messages of one connection before the next has its turn.
  void run_until(uint64_t end, uint32_t turn) {
    while (!over(end)) serve_or_take(turn);
  }

  // Until each connection's messages have followed one another for a while.
  void warm_up(uint64_t end, uint32_t turn) {
    const uint64_t all = confirmed_ + kWarmWindows * depth_ * members_.size();
    const uint64_t latest = end + kFinishNs;
    run_until(end, turn);
    while (confirmed_ < all && !over(latest)) serve_or_take(turn);
  }

  // Sends what makes the other end confirm all, and waits for that.
  void finish() {
    finishing_ = true;
    for (uint32_t i = 0; i < members_.size(); ++i) queue(i);
    const uint64_t end = now_ns() + kFinishNs;
    for (;;) {
      while (!ready_.empty()) serve_next(kMost);
      if (unconfirmed_ == 0) break;
      take();
      if (over(end)) throw Failure("not all messages that were sent were confirmed");
    }
    finishing_ = false;
    for (uint32_t i = 0; i < members_.size(); ++i) {
      members_[i].fresh = true;
      queue(i);
    }
  }

  uint64_t confirmed() const { return confirmed_; }

 private:
  static constexpr uint64_t kFinishNs = 60'000'000'000;
  static constexpr uint32_t kLookEvery = 64;
  static constexpr uint32_t kTakeEvery = 64;  // turns, when there is always somebody to serve
  static constexpr uint64_t kWarmWindows = 2;
  static constexpr int kTickMs = 10;  // between looks at the clock while asleep
  static constexpr uint32_t kMost = UINT32_MAX;

  struct Member {
    uint64_t sent = 0, confirmed = 0;
    bool fresh = true;     // its first turn is longer than others
    bool queued = false;   // in ready_
    bool blocked = false;  // until there is room
  };

  void serve_or_take(uint32_t turn) {
    if (ready_.empty() || ++served_ % kTakeEvery == 0) {
      take();
    } else {
      serve_next(turn);
    }
  }

  // Looks at the clock now and then.
  bool over(uint64_t end) {
    if (++looks_ % kLookEvery != 0 && !event_) return false;
    check_stop();
    return now_ns() >= end;
  }

  uint64_t room(const Member& member) const {
    if (finishing_) return (at_once_ - member.sent % at_once_) % at_once_;
    return depth_ - (member.sent - member.confirmed);
  }

  void queue(uint32_t number) {
    Member& member = members_[number];
    if (member.queued || member.blocked || room(member) == 0) return;
    member.queued = true;
    ready_.push_back(number);
  }

  void serve_next(uint32_t most) {
    const uint32_t number = ready_.front();
    ready_.pop_front();
    Member& member = members_[number];
    member.queued = false;
    // Else all would be confirmed at once, in waves longer than what is measured.
    const uint64_t more = member.fresh ? number % at_once_ : 0;
    member.fresh = false;
    const auto wish = static_cast<uint32_t>(std::min<uint64_t>(most + more, room(member)));
    const uint32_t sent =
        crowd_.send(number, message_.data(), static_cast<uint32_t>(message_.size()), wish);
    member.sent += sent;
    unconfirmed_ += sent;
    member.blocked = sent < wish;
    queue(number);
  }

  void take() {
    const bool some = crowd_.take(
        [this](const Arrived& message) {
          if (message.length != kConfirmBytes) throw Failure("an answer that nobody asked for");
          Member& member = members_.at(message.member);
          const uint64_t now = get_number(message.head.data(), kConfirmBytes);
          if (now > member.sent || now < member.confirmed) {
            throw Failure("the server confirms what was not sent");
          }
          unconfirmed_ -= now - member.confirmed;
          confirmed_ += now - member.confirmed;
          member.confirmed = now;
          queue(message.member);
        },
        [this](uint32_t number) {
          members_.at(number).blocked = false;
          queue(number);
        });
    if (!some && event_ && ready_.empty()) crowd_.sleep(kTickMs);
  }

  Crowd& crowd_;
  const bool event_;  // sleeps when there is nothing to take
  const uint64_t depth_, at_once_;
  std::vector<Member> members_;
  std::vector<unsigned char> message_;
  std::deque<uint32_t> ready_;
  uint64_t confirmed_ = 0, unconfirmed_ = 0;
  uint32_t looks_ = 0, served_ = 0;
  bool finishing_ = false;
};

}  // namespace sio_perf
