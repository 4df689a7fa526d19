// SPDX-License-Identifier: BSD-2-Clause
//
// All areas of the process, by number. A handle is no pointer to anything: it holds the number and
// how often the number was given out, so that a stale one is recognised.
#pragma once

#include <sio/dma.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/parents_table.h"

namespace sio::internal {

class Area;
inline constexpr unsigned kMaxAreas = 1024;

class AreaTable {
 public:
  // Lock-free. The Area object of a handle's number, whatever it is used for now; null if the
  // number was never given out (NULL and garbage).
  static Area* object_of(dma_mem_t handle) noexcept {
    const uint32_t number = number_of(handle);
    return number < kMaxAreas ? objects_.at(number) : nullptr;
  }

  // Lock-free. The area that p lies in, or null.
  static Area* find(const void* p) noexcept;
  // Whether some area has any of these bytes.
  static bool overlaps(const void* p, size_t size) noexcept;

  // How many areas there are, and their bytes. Lock-free: near enough while some come and go.
  static void count(uint32_t& areas, uint64_t& bytes) noexcept;

  // An Area object that nobody uses, and the handle for it. Throws EMFILE, std::bad_alloc.
  static Area* take(dma_mem_t& handle);
  static void give_back(dma_mem_t handle) noexcept;

 private:
  // A handle: 63..32 generation, 31..0 1 + number.
  static uint32_t number_of(dma_mem_t handle) noexcept {
    return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(handle)) - 1;
  }

  // Filled from the front, never emptied.
  constinit inline static ParentsTable<Area, kMaxAreas> objects_;
  constinit inline static std::atomic<uint32_t> count_{0};
};

}  // namespace sio::internal
