// SPDX-License-Identifier: BSD-2-Clause
//
// Pointers by number. In a forked child all of them are NULL: so what every message passes need not
// ask first whether this is one, and finds nothing there.
#pragma once

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <new>

#include "base/fork_guard.h"

namespace sio::internal {

// Never destroyed; constant-initialized.
template <typename T, size_t kCount>
class ParentsTable {
 public:
  using Place = std::atomic<T*>;

  // Lock-free. `i` is below kCount.
  T* at(size_t i) const noexcept {
    // Acquire, both: pair with place(), and with who stores there.
    return places_.load(std::memory_order_acquire)[i].load(std::memory_order_acquire);
  }

  // To store there. Throws std::bad_alloc.
  Place& place(size_t i) {
    Place* places = places_.load(std::memory_order_acquire);
    return (places != none_.data() ? places : make())[i];
  }

 private:
  using Places = std::array<Place, kCount>;

  Place* make() {
    void* const memory = ForkGuard::map_wiped(sizeof(Places));
    if (memory == nullptr) throw std::bad_alloc();
    Place* const made = (new (memory) Places{})->data();
    Place* found = none_.data();
    // Release: who finds it finds it made. Another thread may have been first.
    if (places_.compare_exchange_strong(found, made, std::memory_order_acq_rel)) return made;
    munmap(memory, sizeof(Places));
    return found;
  }

  inline static Places none_{};  // nobody stores here
  std::atomic<Place*> places_{none_.data()};
};

}  // namespace sio::internal
