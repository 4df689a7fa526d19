// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstddef>
#include <utility>

namespace sio::internal {

size_t page_size() noexcept;

// Owns anonymous memory.
class Mapping {
 public:
  // `size` bytes (whole pages) for an area: faulted in, on huge pages where the kernel gives them.
  // Throws ENOMEM.
  static Mapping for_area(size_t size);

  // `size` bytes of zeros that take memory only where they are touched. Throws ENOMEM.
  static Mapping sparse(size_t size);

  Mapping() noexcept = default;
  Mapping(Mapping&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping();

  char* base() const noexcept { return base_; }
  size_t size() const noexcept { return size_; }

  // All zero again, and its memory back to the kernel.
  void clear() noexcept;

 private:
  Mapping(char* base, size_t size) noexcept : base_(base), size_(size) {}

  char* base_ = nullptr;
  size_t size_ = 0;
};

}  // namespace sio::internal
