// SPDX-License-Identifier: BSD-2-Clause
#include "memory/slot.h"

#include <algorithm>
#include <bit>
#include <map>
#include <mutex>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

#include "memory/mapping.h"

namespace sio::internal {
namespace {

struct Shelf {
  std::vector<SlotArray*> all;   // keeps them reachable
  std::vector<SlotArray*> free;  // has room for all, so that giving back never allocates
};

// Never destroyed; under the mutex.
struct Store {
  std::map<uint32_t, Shelf> shelves;  // by capacity
  std::vector<Mapping> memory;        // of the slots; what is left of the last one:
  char* unused = nullptr;
  size_t unused_bytes = 0;
};

std::mutex mutex;

Store& store() {
  static auto* store = new Store;
  return *store;
}

// Eight sizes between one power of two and the next: few enough for arrays to be used again, and
// an eighth at most is not used.
uint32_t capacity_for(uint32_t slots) noexcept {
  const uint32_t step = std::max(1u, std::bit_ceil(slots) / 16);
  return (slots + step - 1) / step * step;
}

// All zero, which is what a new slot is. A connection that is idle has messages in none of them: so
// they lie where memory is taken as it is touched.
Slot* new_slots(uint32_t n) {
  constexpr size_t kAtOnce = 1 << 20;  // bytes of address space
  const size_t bytes = size_t{n} * sizeof(Slot);
  Store& all = store();
  if (all.unused_bytes < bytes) {
    try {
      all.memory.push_back(Mapping::sparse(std::max(bytes, kAtOnce)));
    } catch (const std::system_error&) {
      throw std::bad_alloc();
    }
    all.unused = all.memory.back().base();
    all.unused_bytes = all.memory.back().size();
  }
  all.unused_bytes -= bytes;
  return reinterpret_cast<Slot*>(std::exchange(all.unused, all.unused + bytes));
}

}  // namespace

SlotArray* take_slot_array(uint32_t slots) {
  const std::lock_guard lock(mutex);
  const uint32_t capacity = capacity_for(slots);
  Shelf& shelf = store().shelves[capacity];
  if (!shelf.free.empty()) {
    SlotArray* array = shelf.free.back();
    shelf.free.pop_back();
    return array;
  }
  if (shelf.all.size() == shelf.all.capacity()) shelf.all.reserve(2 * shelf.all.size() + 1);
  shelf.free.reserve(shelf.all.capacity());
  shelf.all.push_back(new SlotArray{capacity, new_slots(capacity)});
  return shelf.all.back();
}

void give_back_slot_array(SlotArray* array) noexcept {
  const std::lock_guard lock(mutex);
  store().shelves.find(array->capacity)->second.free.push_back(array);
}

}  // namespace sio::internal
