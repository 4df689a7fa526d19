// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sio::internal::provider::soft {

// Elements with numbers that go on for ever, of which the last `capacity` are kept. More are, so
// that a number's place is found without a division, of which a message would take a dozen.
template <typename T>
class Cyclic {
 public:
  explicit Cyclic(size_t capacity, size_t stride = 1)
      : mask_(std::bit_ceil(capacity) - 1), stride_(stride), elements_((mask_ + 1) * stride) {}

  // The first of the `stride` that have this number.
  T& operator[](uint64_t number) noexcept { return elements_[(number & mask_) * stride_]; }
  const T& operator[](uint64_t number) const noexcept {
    return elements_[(number & mask_) * stride_];
  }

 private:
  uint64_t mask_;
  size_t stride_;
  std::vector<T> elements_;
};

}  // namespace sio::internal::provider::soft
