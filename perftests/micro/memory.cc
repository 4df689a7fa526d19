// SPDX-License-Identifier: BSD-2-Clause
//
// The area's allocator, in an area that nobody else uses and in one that is full of holes.
#include <sio/dma.h>

#include <cstdlib>
#include <vector>

#include "loop.h"

namespace sio::micro {
namespace {

constexpr size_t kAreaBytes = size_t{16} << 20;

class Area {
 public:
  Area() {
    if (dma_alloc(&handle_, kAreaBytes, 0) != 0) std::abort();
  }
  ~Area() { dma_free(handle_, kAreaBytes); }
  Area(const Area&) = delete;
  Area& operator=(const Area&) = delete;

  void* reserve(size_t bytes) const {
    void* memory = nullptr;
    if (sio_reserve(handle_, &memory, bytes) != 0) std::abort();
    return memory;
  }
  void release(void* memory, size_t bytes) const {
    if (sio_release(handle_, memory, bytes) != 0) std::abort();
  }

 private:
  dma_mem_t handle_ = nullptr;
};

template <size_t kBytes>
void reserve_and_release(Loop& loop) {
  const Area area;
  loop.run([&] { area.release(area.reserve(kBytes), kBytes); });
}

void among_holes(Loop& loop) {
  constexpr size_t kBytes = 1024;
  const Area area;
  std::vector<void*> kept;
  for (int i = 0; i < 2000; ++i) {
    void* const hole = area.reserve(kBytes);
    kept.push_back(area.reserve(kBytes));
    area.release(hole, kBytes);
  }
  loop.run([&] { area.release(area.reserve(kBytes), kBytes); });
  for (void* memory : kept) area.release(memory, kBytes);
}

constexpr Operation kOperations[] = {{"memory/reserve-and-release-64", reserve_and_release<64>},
                                     {"memory/reserve-and-release-64k", reserve_and_release<65536>},
                                     {"memory/reserve-and-release-among-holes", among_holes}};

}  // namespace

std::span<const Operation> memory_operations() { return kOperations; }

}  // namespace sio::micro
