// SPDX-License-Identifier: BSD-2-Clause
#include "memory/slot.h"

#include <array>
#include <bit>
#include <mutex>
#include <vector>

namespace sio::internal {
namespace {

struct Shelf {
  std::vector<SlotArray*> all;   // keeps them reachable
  std::vector<SlotArray*> free;  // has room for all, so that giving back never allocates
};

std::mutex mutex;

// By the power of two; under the mutex. Never destroyed.
std::array<Shelf, 33>& shelves() {
  static auto* shelves = new std::array<Shelf, 33>;
  return *shelves;
}

Shelf& shelf_for(uint32_t slots) {
  return shelves()[static_cast<size_t>(std::bit_width(slots - 1))];
}

}  // namespace

SlotArray* take_slot_array(uint32_t slots) {
  const std::lock_guard lock(mutex);
  Shelf& shelf = shelf_for(slots);
  if (!shelf.free.empty()) {
    SlotArray* array = shelf.free.back();
    shelf.free.pop_back();
    return array;
  }
  shelf.all.reserve(shelf.all.size() + 1);
  shelf.free.reserve(shelf.all.capacity());
  shelf.all.push_back(new SlotArray(std::bit_ceil(slots)));
  return shelf.all.back();
}

void give_back_slot_array(SlotArray* array) noexcept {
  const std::lock_guard lock(mutex);
  shelf_for(array->capacity).free.push_back(array);
}

}  // namespace sio::internal
