// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstddef>
#include <utility>

namespace sio::internal {

size_t page_size() noexcept;

// Which pages memory is to have: bytes, as a power of two.
enum class PageSize : unsigned { kAny = 0, kHuge2M = 21, kHuge1G = 30 };

// Anonymous memory that it owns, or the program's, which it only looks after.
class Mapping {
 public:
  // `size` bytes (whole pages of that size) for an area, faulted in. kAny: on huge pages where the
  // kernel gives them. Throws ENOMEM; for want of huge pages the log says what to do.
  static Mapping for_area(size_t size, PageSize pages = PageSize::kAny);

  // [p, p+size) of the program's, faulted in. Throws EFAULT, if not all of it is there, EACCES, if
  // it is to be `writable` and is not.
  static Mapping of_program(void* p, size_t size, bool writable);

  // `size` bytes of zeros that take memory only where they are touched. Throws ENOMEM.
  static Mapping sparse(size_t size);

  Mapping() noexcept = default;
  Mapping(Mapping&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        owned_(other.owned_) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(size_, other.size_);
    std::swap(owned_, other.owned_);
    return *this;
  }
  ~Mapping();

  char* base() const noexcept { return base_; }
  size_t size() const noexcept { return size_; }

  // All zero again, and its memory back to the kernel.
  void clear() noexcept;

 private:
  Mapping(char* base, size_t size, bool owned = true) noexcept
      : base_(base), size_(size), owned_(owned) {}

  char* base_ = nullptr;
  size_t size_ = 0;
  bool owned_ = true;
};

}  // namespace sio::internal
