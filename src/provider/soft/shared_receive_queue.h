// SPDX-License-Identifier: BSD-2-Clause
//
// Receives for several queue pairs, which may be on several channels. A queue pair holds the lock
// while it reads, since a read is laid out over the receives that come next.
//
// Locks: a channel's, then this one.
#pragma once

#include <mutex>
#include <vector>

#include "provider/provider.h"
#include "provider/soft/completion.h"
#include "provider/soft/receive_queue.h"

namespace sio::internal::provider::soft {

class SoftQueuePair;

class SoftSharedReceiveQueue final : public SharedReceiveQueue {
 public:
  explicit SoftSharedReceiveQueue(uint32_t receives) : receives_(receives) {}

  uint32_t capacity() const noexcept override { return receives_.capacity(); }

  int post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept override {
    const std::lock_guard lock(mutex_);
    const int error = receives_.post(chain, bad);
    if (receives_.empty()) return error;
    for (const Hungry& one : hungry_) one.channel->notify();
    hungry_.clear();
    ++feedings_;
    return error;
  }

  std::mutex& mutex() noexcept { return mutex_; }

  // The rest is called under the lock.
  ReceiveQueue& receives() noexcept { return receives_; }
  void join() { hungry_.reserve(++members_); }
  void leave(const SoftQueuePair* pair) noexcept {
    --members_;
    std::erase_if(hungry_, [pair](const Hungry& one) { return one.pair == pair; });
  }
  // The pair has found nothing here: its channel is woken when there is something. `called`: what
  // this returned the last time, or 0.
  uint64_t call_for(const SoftQueuePair* pair, SoftCompletionChannel* channel,
                    uint64_t called) noexcept {
    if (called != feedings_) hungry_.push_back({pair, channel});
    return feedings_;
  }

 private:
  struct Hungry {
    const SoftQueuePair* pair;
    SoftCompletionChannel* channel;
  };

  std::mutex mutex_;
  ReceiveQueue receives_;
  size_t members_ = 0;
  std::vector<Hungry> hungry_;  // has room for all members
  uint64_t feedings_ = 1;       // posts that fed the hungry, and 1
};

}  // namespace sio::internal::provider::soft
