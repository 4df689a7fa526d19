// SPDX-License-Identifier: BSD-2-Clause
//
// A greedy sender among modest ones (crowd/crowd.h): each of the modest has one message on its way,
// and sends the next one when the answer has come; the greedy one, the last, sends what it can.
#pragma once

#include <algorithm>
#include <vector>

#include "crowd/crowd.h"
#include "process.h"

namespace sio_perf {

template <typename Crowd>
class CrowdFair {
 public:
  CrowdFair(Crowd& crowd, const Parameters& parameters)
      : crowd_(crowd),
        at_once_(confirmed_at_once(parameters)),
        most_(crowd.most_in_flight()),
        greedy_(parameters.connections - 1),
        sent_at_(greedy_),
        question_(parameters.size, kEcho),
        message_(parameters.size, kCount) {}

  struct Outcome {
    std::vector<uint64_t> round_trips;  // of the modest, ns
    uint64_t confirmed = 0;             // of the greedy one's
  };

  Outcome run(uint64_t end, bool with_greedy) {
    outcome_ = {};
    asking_ = true;
    const uint64_t confirmed_before = confirmed_;
    for (uint32_t i = 0; i < greedy_; ++i) ask(i);
    for (uint32_t looks = 0;; ++looks) {
      if (looks % kLookEvery == 0) {
        check_stop();
        if (now_ns() >= end) break;
      }
      if (with_greedy) be_greedy(kGreedyTurn);
      take();
    }
    Outcome outcome = std::move(outcome_);
    outcome.confirmed = confirmed_ - confirmed_before;
    asking_ = false;
    finish();
    return outcome;
  }

 private:
  static constexpr uint32_t kGreedyTurn = 32;  // messages between looks at what has come
  static constexpr uint32_t kLookEvery = 16;
  static constexpr uint64_t kFinishNs = 60'000'000'000;

  void ask(uint32_t number) {
    sent_at_[number] = now_ns();
    send_question(number);
  }

  // If there is no room for it, which the round trip is to tell of, once more when there is.
  void send_question(uint32_t number) {
    asked_ += crowd_.send(number, question_.data(), static_cast<uint32_t>(question_.size()), 1);
  }

  void be_greedy(uint64_t most) {
    if (blocked_) return;
    const uint64_t room = most_ - (sent_ - confirmed_);
    const auto wish = static_cast<uint32_t>(std::min(most, room));
    const uint32_t sent =
        crowd_.send(greedy_, message_.data(), static_cast<uint32_t>(message_.size()), wish);
    sent_ += sent;
    blocked_ = sent < wish;
  }

  void answered(uint32_t number) {
    ++answered_;
    outcome_.round_trips.push_back(now_ns() - sent_at_.at(number));
    if (asking_) ask(number);
  }

  void take() {
    crowd_.take(
        [this](const Arrived& message) {
          if (message.member != greedy_) return answered(message.member);
          confirmed_ = get_number(message.head.data(), kConfirmBytes);
        },
        [this](uint32_t number) {
          if (number == greedy_) {
            blocked_ = false;
          } else if (asking_) {
            send_question(number);
          }
        });
  }

  void finish() {
    const uint64_t end = now_ns() + kFinishNs;
    while (answered_ < asked_ || confirmed_ < sent_) {
      if (sent_ % at_once_ != 0) be_greedy(at_once_ - sent_ % at_once_);
      take();
      check_stop();
      if (now_ns() > end) throw Failure("not all messages were answered");
    }
    outcome_ = {};
  }

  Crowd& crowd_;
  const uint64_t at_once_, most_;
  const uint32_t greedy_;
  std::vector<uint64_t> sent_at_;
  std::vector<unsigned char> question_, message_;
  Outcome outcome_;
  bool asking_ = false, blocked_ = false;
  uint64_t asked_ = 0, answered_ = 0;  // of the modest
  uint64_t sent_ = 0, confirmed_ = 0;  // of the greedy one
};

}  // namespace sio_perf
