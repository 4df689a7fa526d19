// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <infiniband/verbs.h>

#include <cerrno>
#include <cstdint>
#include <vector>

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
  explicit ReceiveQueue(uint32_t capacity) : receives_(capacity) {}

  uint32_t size() const noexcept { return static_cast<uint32_t>(tail_ - head_); }
  bool empty() const noexcept { return head_ == tail_; }

  // 0, -ENOMEM when it is full, -EINVAL when the list is too long.
  int post(const ibv_recv_wr& wr) noexcept {
    if (size() == receives_.size()) return -ENOMEM;
    if (wr.num_sge < 0 || wr.num_sge > 1) return -EINVAL;
    receives_[tail_++ % receives_.size()] = {wr.wr_id, wr.num_sge == 1 ? *wr.sg_list : ibv_sge{}};
    return 0;
  }

  // The n-th from the front; n < size().
  const Receive& at(uint32_t n) const noexcept { return receives_[(head_ + n) % receives_.size()]; }
  Receive pop() noexcept { return receives_[head_++ % receives_.size()]; }

 private:
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
  std::vector<Receive> receives_;
};

}  // namespace sio::internal::provider::soft
