// SPDX-License-Identifier: BSD-2-Clause
#include "memory/mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/error.h"

#ifndef MADV_POPULATE_WRITE  // Linux 5.14; older headers
#define MADV_POPULATE_WRITE 23
#endif

namespace sio::internal {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

char* map(size_t size, int flags) {
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  if (p == MAP_FAILED) throw_errno(ENOMEM, "mmap");
  return static_cast<char*>(p);
}

// Maps with room to spare and cuts off what lies before the first huge page boundary and after
// the end: a huge page needs an aligned address.
char* map_aligned(size_t size) {
  char* p = map(size + kHugePage, 0);
  const size_t head = (kHugePage - reinterpret_cast<uintptr_t>(p) % kHugePage) % kHugePage;
  if (head > 0) munmap(p, head);
  if (head < kHugePage) munmap(p + head + size, kHugePage - head);
  return p + head;
}

// 0 or an errno. Registering would fault the pages in as well, but out of memory is then told in
// many different ways by the drivers.
int fault_in(char* p, size_t size) noexcept {
  int result;
  do {
    result = madvise(p, size, MADV_POPULATE_WRITE);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return 0;
  if (errno != EINVAL) return ENOMEM;
  // An older kernel: touch each page. The memory is new, so writing a zero changes nothing.
  for (size_t at = 0; at < size; at += page_size()) {
    *static_cast<volatile char*>(p + at) = 0;
  }
  return 0;
}

}  // namespace

size_t page_size() noexcept {
  static const auto size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

// MADV_DONTFORK is left out on purpose. It was needed when a fork made the parent's pages
// copy-on-write and so took them away from under the device; since Linux 5.9 pinned pages are
// copied for the child at fork. With it a child that reads a buffer it inherited would crash.
Mapping Mapping::for_area(size_t size) {
  if (size > SIZE_MAX - kHugePage) throw_errno(ENOMEM, "mmap");
  const bool huge = size >= kHugePage;
  Mapping mapping(huge ? map_aligned(size) : map(size, 0), size);
  if (huge) madvise(mapping.base_, size, MADV_HUGEPAGE);  // a wish; small pages will do
  if (const int error = fault_in(mapping.base_, size)) throw_errno(error, "no memory for the area");
  return mapping;
}

Mapping Mapping::sparse(size_t size) {
  Mapping mapping(map(size, MAP_NORESERVE), size);
  // One touched byte must not cost a huge page.
  madvise(mapping.base_, size, MADV_NOHUGEPAGE);
  return mapping;
}

Mapping::~Mapping() {
  if (base_ != nullptr) munmap(base_, size_);
}

void Mapping::clear() noexcept {
  if (base_ != nullptr) madvise(base_, size_, MADV_DONTNEED);
}

}  // namespace sio::internal
