// SPDX-License-Identifier: BSD-2-Clause
#include "base/fork_guard.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace sio::internal {
namespace {

// A page that the kernel wipes in every child (also one made by a bare clone(2), which
// pthread_atfork would miss). NULL: this kernel can not.
void* make_page() noexcept {
  const auto size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  if (madvise(p, size, MADV_WIPEONFORK) == 0) return p;
  munmap(p, size);
  return nullptr;
}

}  // namespace

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
