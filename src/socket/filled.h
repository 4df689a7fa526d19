// SPDX-License-Identifier: BSD-2-Clause
//
// Slots with what the program has not taken yet, in the order of arrival. Has room for as many as
// the peer has credits for, which is seen to before it is given these: nothing is lost, and nothing
// is asked for when something arrives.
#pragma once

#include <bit>
#include <cstdint>
#include <new>
#include <vector>

namespace sio::internal {

class FilledSlots {
 public:
  struct Filled {
    uint32_t slot;
    uint32_t length;
    bool train;
  };

  uint32_t capacity() const noexcept { return static_cast<uint32_t>(ring_.size()); }
  // Room for n in all; false: there is no memory for it.
  bool reserve(uint32_t n) noexcept { return n <= ring_.size() || enlarge(std::bit_ceil(n)); }

  bool empty() const noexcept { return head_ == tail_; }
  const Filled& front() const noexcept { return ring_[head_ & (ring_.size() - 1)]; }
  // Precondition: there is room.
  void push(const Filled& filled) noexcept { ring_[tail_++ & (ring_.size() - 1)] = filled; }
  void pop() noexcept { ++head_; }

 private:
  [[gnu::noinline]] bool enlarge(uint32_t size) noexcept {
    try {
      std::vector<Filled> larger(size);
      for (uint32_t i = head_; i != tail_; ++i)
        larger[i & (size - 1)] = ring_[i & (ring_.size() - 1)];
      ring_.swap(larger);
    } catch (const std::bad_alloc&) {
      return false;
    }
    return true;
  }

  uint32_t head_ = 0;  // these go on for ever
  uint32_t tail_ = 0;
  std::vector<Filled> ring_;  // a power of two, or none
};

}  // namespace sio::internal
