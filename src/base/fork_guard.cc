// SPDX-License-Identifier: BSD-2-Clause
#include "base/fork_guard.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <new>

namespace sio::internal {
namespace {

// A page that the kernel wipes in every child (also one made by a bare clone(2), which
// pthread_atfork would miss): 1 in the process that made it.
std::atomic<unsigned char>* make_mark() noexcept {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* p = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  if (madvise(p, page, MADV_WIPEONFORK) != 0) {
    munmap(p, page);
    return nullptr;
  }
  auto* mark = new (p) std::atomic<unsigned char>(1);
  return mark;
}

}  // namespace

bool in_forked_child() noexcept {
  static std::atomic<unsigned char>* const mark = make_mark();
  // Relaxed: the value never changes within a process.
  return mark != nullptr && mark->load(std::memory_order_relaxed) == 0;
}

}  // namespace sio::internal
