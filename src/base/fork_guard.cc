// SPDX-License-Identifier: BSD-2-Clause
#include "base/fork_guard.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

// g++ and clang++ say differently that leaks are looked for.
#if defined(__SANITIZE_ADDRESS__)
#define SIO_LEAKS_ARE_LOOKED_FOR
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIO_LEAKS_ARE_LOOKED_FOR
#endif
#endif
#ifdef SIO_LEAKS_ARE_LOOKED_FOR
#include <sanitizer/lsan_interface.h>
#endif

namespace sio::internal {
namespace {

void* map(size_t size) noexcept {
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? nullptr : p;
}

// Memory that the kernel wipes in every child (also one made by a bare clone(2), which
// pthread_atfork would miss). NULL: there is none, or this kernel can not (before 4.14).
void* map_to_be_wiped(size_t size) noexcept {
  void* p = map(size);
  if (p == nullptr || madvise(p, size, MADV_WIPEONFORK) == 0) return p;
  munmap(p, size);
  return nullptr;
}

}  // namespace

// 1 in the process that made it.
const ForkGuard::Mark* ForkGuard::make_mark() noexcept {
  static const Mark* const made = [] {
    void* page = map_to_be_wiped(static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    return page == nullptr ? &never_forked_ : new (page) Mark(1);
  }();
  mark_.store(made, std::memory_order_release);  // release: who finds it finds it made
  return made;
}

// Where children can not be told by the mark nothing is wiped either: it is both or none.
void* ForkGuard::map_wiped(size_t size) noexcept {
  in_child();  // makes the mark
  const bool told = mark_.load(std::memory_order_acquire) != &never_forked_;
  void* const memory = told ? map_to_be_wiped(size) : map(size);
#ifdef SIO_LEAKS_ARE_LOOKED_FOR
  // What is found through it alone is no leak.
  if (memory != nullptr) __lsan_register_root_region(memory, size);
#endif
  return memory;
}

}  // namespace sio::internal
