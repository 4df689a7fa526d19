// SPDX-License-Identifier: BSD-2-Clause
//
// Tells a forked child from its parent: the child must touch nothing of the parent's (queue
// pairs, registrations, epoll sets), so every call of the interface asks here first, or finds
// nothing in tables that are wiped in a child (parents_table.h), and asks then.
#pragma once

#include <atomic>
#include <cstddef>

namespace sio::internal {

class ForkGuard {
 public:
  // True in a process that was forked from one that had called this before.
  static bool in_child() noexcept {
    const Mark* mark = mark_.load(std::memory_order_acquire);  // acquire: finds it made
    if (mark == nullptr) mark = make_mark();
    // Relaxed: never changes within a process.
    return mark->load(std::memory_order_relaxed) == 0;
  }

  // Memory, all zero, that is all zero again in whatever in_child() is true of (munmap). NULL:
  // there is none.
  static void* map_wiped(size_t size) noexcept;

 private:
  using Mark = std::atomic<unsigned char>;
  static const Mark* make_mark() noexcept;

  inline static std::atomic<const Mark*> mark_{nullptr};
  inline static Mark never_forked_{1};  // in place of one, where there can be none
};

}  // namespace sio::internal
