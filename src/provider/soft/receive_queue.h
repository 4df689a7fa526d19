// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <infiniband/verbs.h>

#include <cerrno>
#include <cstdint>

#include "provider/soft/cyclic.h"

namespace sio::internal::provider::soft {

// A posted receive: one piece of memory, as everywhere behind the seam.
struct Receive {
  uint64_t wr_id = 0;
  ibv_sge place{};
  char* data() const noexcept {
    return reinterpret_cast<char*>(static_cast<uintptr_t>(place.addr));
  }
};

// Receives in the order in which they were posted, at most `capacity` of them.
class ReceiveQueue {
 public:
  explicit ReceiveQueue(uint32_t capacity) : capacity_(capacity), receives_(capacity) {}

  uint32_t capacity() const noexcept { return capacity_; }
  uint32_t size() const noexcept { return static_cast<uint32_t>(tail_ - head_); }
  bool empty() const noexcept { return head_ == tail_; }

  // A whole chain. 0, or *bad is the first that was not taken: -ENOMEM when the queue is full,
  // -EINVAL when the list of pieces is too long.
  int post(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept {
    for (; chain != nullptr; chain = chain->next) {
      *bad = chain;
      if (size() == capacity_) return -ENOMEM;
      if (chain->num_sge < 0 || chain->num_sge > 1) return -EINVAL;
      const ibv_sge place = chain->num_sge == 1 ? *chain->sg_list : ibv_sge{};
      receives_[tail_++] = {chain->wr_id, place};
    }
    return 0;
  }

  // The n-th from the front; n < size().
  const Receive& at(uint32_t n) const noexcept { return receives_[head_ + n]; }
  Receive pop() noexcept { return receives_[head_++]; }

 private:
  uint32_t capacity_;
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
  Cyclic<Receive> receives_;
};

}  // namespace sio::internal::provider::soft
