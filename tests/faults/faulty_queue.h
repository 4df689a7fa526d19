// SPDX-License-Identifier: BSD-2-Clause
//
// A completion queue of faulty_provider.h: it withholds completions, and makes some fail.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "faults/fault_plan.h"
#include "provider/provider.h"

namespace sio::test {

// Counts itself in the plan.
class Counted {
 public:
  explicit Counted(std::atomic<int>& count) : count_(count) { ++count_; }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::atomic<int>& count_;
};

// A queue pair of which a completion may fail: then all that follow are flushed.
struct Spoilable {
  explicit Spoilable(internal::provider::QueuePair* of) : pair(of) {}

  internal::provider::QueuePair* const pair;
  bool spoilt = false;
  bool failed = false;         // told to
  std::vector<uint64_t> lost;  // work requests that nobody else knows of
};

// Withholds the completions of some queue pairs for a while. What is withheld is let go before the
// queue is armed, and the look after that withholds nothing: so nobody sleeps through it.
class FaultyQueue final : public internal::provider::CompletionQueue {
 public:
  explicit FaultyQueue(std::unique_ptr<internal::provider::CompletionQueue> inner)
      : inner_(std::move(inner)) {}

  internal::provider::CompletionQueue& inner() noexcept { return *inner_; }
  uint32_t capacity() const noexcept override { return inner_->capacity(); }
  int poll(int n, ibv_wc* wc) noexcept override;
  int arm(bool solicited_only) noexcept override {
    withheld_.clear();
    armed_ = true;
    return inner_->arm(solicited_only);
  }
  int resize(uint32_t entries) noexcept override {
    return plan().strikes(&Faults::resize) ? -ENOMEM : inner_->resize(entries);
  }
  void joins(Spoilable* pair) { pairs_.insert(pair); }
  void leaves(Spoilable* pair) { pairs_.erase(pair); }

 private:
  Spoilable* find(uint32_t number) noexcept;
  void spoil(ibv_wc& wc) noexcept;
  void flush_lost(Spoilable& pair);

  Counted counted_{plan().queues};
  std::unique_ptr<internal::provider::CompletionQueue> inner_;
  std::set<Spoilable*> pairs_;
  std::deque<ibv_wc> come_;                // from the queue inside
  std::map<uint32_t, uint32_t> withheld_;  // number of a queue pair: polls to go
  bool armed_ = false;                     // and not polled since
};

}  // namespace sio::test
