// SPDX-License-Identifier: BSD-2-Clause
#include "allocations/counter.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>

namespace sio::test {
namespace {

constexpr int kDeep = 16;

struct Caller {
  std::array<void*, kDeep> frames;
  int depth;
};

std::atomic<uint64_t> count{0};
std::atomic<bool> noting{false};
std::atomic<size_t> noted{0};
std::array<Caller, 3> callers;
thread_local bool within = false;  // backtrace(), which may allocate itself

[[maybe_unused]] void count_one() noexcept {
  count.fetch_add(1, std::memory_order_relaxed);  // read by who has made all calls return
  if (!noting.load(std::memory_order_relaxed) || within) return;
  const size_t place = noted.fetch_add(1);
  if (place >= callers.size()) return;
  within = true;
  callers[place].depth = backtrace(callers[place].frames.data(), kDeep);
  within = false;
}

}  // namespace

uint64_t allocations() noexcept { return count.load(); }

void note_callers() noexcept {
  void* frame;
  backtrace(&frame, 1);  // loads what it needs
  noted = 0;
  noting = true;
}

std::string noted_callers() {
  noting = false;
  std::string text;
  for (size_t i = 0; i < std::min(noted.load(), callers.size()); ++i) {
    char** const lines = backtrace_symbols(callers[i].frames.data(), callers[i].depth);
    for (int n = 2; lines != nullptr && n < callers[i].depth; ++n) {
      text += n == 2 ? "asked for by " : "          of ";
      text.append(lines[n]).append("\n");
    }
    std::free(lines);
  }
  return text;
}

}  // namespace sio::test

#if SIO_COUNTS_ALLOCATIONS

// What the C library calls its own.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
}

namespace {

void* aligned(size_t alignment, size_t size) noexcept {
  sio::test::count_one();
  return __libc_memalign(alignment, size);
}

template <typename Function>
Function* next(const char* name) noexcept {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

#pragma GCC visibility push(default)

void* malloc(size_t size) noexcept {
  sio::test::count_one();
  return __libc_malloc(size);
}

void* calloc(size_t n, size_t size) noexcept {
  sio::test::count_one();
  return __libc_calloc(n, size);
}

void* realloc(void* old, size_t size) noexcept {
  sio::test::count_one();
  return __libc_realloc(old, size);
}

void* reallocarray(void* old, size_t n, size_t size) noexcept {
  size_t bytes;
  if (__builtin_mul_overflow(n, size, &bytes)) return errno = ENOMEM, nullptr;
  return realloc(old, bytes);
}

void* memalign(size_t alignment, size_t size) noexcept { return aligned(alignment, size); }

void* aligned_alloc(size_t alignment, size_t size) noexcept { return aligned(alignment, size); }

int posix_memalign(void** made, size_t alignment, size_t size) noexcept {
  void* const memory = aligned(alignment, size);
  if (memory == nullptr) return ENOMEM;
  *made = memory;
  return 0;
}

void* valloc(size_t size) noexcept {
  return aligned(static_cast<size_t>(sysconf(_SC_PAGESIZE)), size);
}

void* mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  sio::test::count_one();
  const long result = syscall(SYS_mmap, at, size, protection, flags, fd, offset);
  return reinterpret_cast<void*>(result);  // -1 is MAP_FAILED
}

void* mmap64(void* at, size_t size, int protection, int flags, int fd, off64_t offset) noexcept {
  return mmap(at, size, protection, flags, fd, offset);
}

void* mremap(void* old, size_t old_size, size_t size, int flags, ...) noexcept {
  sio::test::count_one();
  void* at = nullptr;
  if ((flags & MREMAP_FIXED) != 0) {
    va_list rest;
    va_start(rest, flags);
    at = va_arg(rest, void*);
    va_end(rest);
  }
  return reinterpret_cast<void*>(syscall(SYS_mremap, old, old_size, size, flags, at));
}

int brk(void* end) noexcept {
  sio::test::count_one();
  return next<int(void*)>("brk")(end);
}

void* sbrk(intptr_t more) noexcept {
  sio::test::count_one();
  return next<void*(intptr_t)>("sbrk")(more);
}

#pragma GCC visibility pop

}  // extern "C"

#endif
