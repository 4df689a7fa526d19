// SPDX-License-Identifier: BSD-2-Clause
#include "memory/slot.h"

#include <algorithm>
#include <bit>
#include <map>
#include <mutex>
#include <vector>

namespace sio::internal {
namespace {

struct Shelf {
  std::vector<SlotArray*> all;   // keeps them reachable
  std::vector<SlotArray*> free;  // has room for all, so that giving back never allocates
};

std::mutex mutex;

// By capacity; under the mutex. Never destroyed.
std::map<uint32_t, Shelf>& shelves() {
  static auto* shelves = new std::map<uint32_t, Shelf>;
  return *shelves;
}

// Eight sizes between one power of two and the next: few enough for arrays to be used again, and
// an eighth at most is not used.
uint32_t capacity_for(uint32_t slots) noexcept {
  const uint32_t step = std::max(1u, std::bit_ceil(slots) / 16);
  return (slots + step - 1) / step * step;
}

}  // namespace

SlotArray* take_slot_array(uint32_t slots) {
  const std::lock_guard lock(mutex);
  const uint32_t capacity = capacity_for(slots);
  Shelf& shelf = shelves()[capacity];
  if (!shelf.free.empty()) {
    SlotArray* array = shelf.free.back();
    shelf.free.pop_back();
    return array;
  }
  if (shelf.all.size() == shelf.all.capacity()) shelf.all.reserve(2 * shelf.all.size() + 1);
  shelf.free.reserve(shelf.all.capacity());
  shelf.all.push_back(new SlotArray(capacity));
  return shelf.all.back();
}

void give_back_slot_array(SlotArray* array) noexcept {
  const std::lock_guard lock(mutex);
  shelves().find(array->capacity)->second.free.push_back(array);
}

}  // namespace sio::internal
