// SPDX-License-Identifier: BSD-2-Clause
#include "base/fork_guard.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace sio::internal {
namespace {

// Whether the kernel wipes it in every child (also one made by a bare clone(2), which
// pthread_atfork would miss). From Linux 4.14 on it can.
bool wipe_in_children(void* memory, size_t size) noexcept {
  return madvise(memory, size, MADV_WIPEONFORK) == 0;
}

void* map(size_t size) noexcept {
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? nullptr : p;
}

// NULL: this kernel can not.
void* make_page() noexcept {
  const auto size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* p = map(size);
  if (p == nullptr || wipe_in_children(p, size)) return p;
  munmap(p, size);
  return nullptr;
}

}  // namespace

// Where the kernel can not wipe it, no child is turned away either.
void* ForkGuard::map_wiped(size_t size) noexcept {
  void* p = map(size);
  if (p != nullptr) wipe_in_children(p, size);
  return p;
}

// 1 in the process that made it.
const ForkGuard::Mark* ForkGuard::make_mark() noexcept {
  static const Mark* const made = [] {
    static Mark never_forked{1};
    void* page = make_page();
    return page == nullptr ? &never_forked : new (page) Mark(1);
  }();
  mark_.store(made, std::memory_order_release);  // release: who finds it finds it made
  return made;
}

}  // namespace sio::internal
