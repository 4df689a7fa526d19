// SPDX-License-Identifier: BSD-2-Clause
//
// Receive memory for messages larger than a slot: a part of an area that sio_reserve does not take
// from. Each message gets a block of its own, of its exact size; one that the program has been
// given is in every respect a block that it reserved.
//
// A pool is used by one thread at a time (the owning channel's lock); what the program holds comes
// back on any thread, and also after the pool has gone: then to the area.
#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/area.h"

namespace sio::internal {

class BulkPool final : private FreeLists {
 public:
  // Throws ENOBUFS: the area has no contiguous `bytes` left.
  BulkPool(Area& area, size_t bytes);
  // Nothing is posted any more.
  ~BulkPool();
  BulkPool(const BulkPool&) = delete;
  BulkPool& operator=(const BulkPool&) = delete;

  Area& area() const noexcept { return area_; }
  size_t size() const noexcept { return size_; }  // bytes: of the largest message

  // fn(arg) is called by whoever gives memory back after take() found none: once, until take()
  // fails again. The area's mutex is held.
  void set_on_freed(void (*fn)(void*), void* arg) noexcept;

  // Memory for a message of n bytes, to be posted: the block, and where it begins. 0: none of that
  // size is free now.
  uint32_t take(size_t n, char*& data) noexcept;
  // It has come, and is the program's.
  void hand_out(uint32_t block) noexcept;
  // It is not to come after all.
  void give_back(uint32_t block) noexcept { area_.give_back(block); }
  // It was handed out, and the program never saw it.
  void take_back(uint32_t block) noexcept { area_.take_back(block); }

 private:
  friend class Area;
  void freed() noexcept;  // under the area's mutex

  Area& area_;
  size_t size_;
  uint32_t first_line_ = 0;
  // Under the area's mutex.
  bool starved_ = false;
  void (*on_freed_)(void*) = nullptr;
  void* on_freed_arg_ = nullptr;
};

}  // namespace sio::internal
