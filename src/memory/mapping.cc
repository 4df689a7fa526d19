// SPDX-License-Identifier: BSD-2-Clause
#include "memory/mapping.h"

#include <linux/mman.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <string>

#include "base/error.h"
#include "base/log.h"

#ifndef MADV_POPULATE_WRITE  // Linux 5.14; older headers
#define MADV_POPULATE_READ 22
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

int populate(char* p, size_t size, int advice) noexcept {
  int result;
  do {
    result = madvise(p, size, advice);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

// 0 or an errno. Registering would fault the pages in as well, but out of memory is then told in
// many different ways by the drivers.
int fault_in(char* p, size_t size) noexcept {
  const int error = populate(p, size, MADV_POPULATE_WRITE);
  if (error == 0) return 0;
  if (error != EINVAL) return ENOMEM;
  // An older kernel: touch each page. The memory is new, so writing a zero changes nothing.
  for (size_t at = 0; at < size; at += page_size()) {
    *static_cast<volatile char*>(p + at) = 0;
  }
  return 0;
}

// On a kernel that populates no memory at a wish, EINVAL says nothing of that memory.
bool kernel_populates() noexcept {
  alignas(64) static char page;
  const auto at = reinterpret_cast<uintptr_t>(&page) / page_size() * page_size();
  return populate(reinterpret_cast<char*>(at), page_size(), MADV_POPULATE_READ) == 0;
}

bool is_mapped(char* p, size_t size) noexcept {
  std::array<unsigned char, 4096> pages;
  const size_t most = pages.size() * page_size();
  for (size_t at = 0; at < size; at += most) {
    if (mincore(p + at, std::min(most, size - at), pages.data()) != 0) return false;
  }
  return true;
}

// Why there are no huge pages, for who can make some.
void explain_missing_pages(size_t size, PageSize pages) {
  const size_t page = size_t{1} << static_cast<unsigned>(pages);
  const std::string path =
      "/sys/kernel/mm/hugepages/hugepages-" + std::to_string(page / 1024) + "kB/";
  size_t there = 0;
  if (!(std::ifstream(path + "free_hugepages") >> there)) {
    LOG_ERROR("no area on pages of %zu MiB: the kernel has none of this size", page >> 20);
    return;
  }
  LOG_ERROR(
      "no area on pages of %zu MiB: %zu are needed and %zu are free. Set more apart: "
      "echo NUMBER > %snr_hugepages (for the larger ones, at boot: hugepagesz=1G hugepages=NUMBER)",
      page >> 20, size / page, there, path.c_str());
}

char* map_huge(size_t size, PageSize pages) {
  const int flags =
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | static_cast<int>(pages) << MAP_HUGE_SHIFT;
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (p == MAP_FAILED) {
    explain_missing_pages(size, pages);
    throw_errno(ENOMEM, "huge pages");
  }
  return static_cast<char*>(p);
}

}  // namespace

size_t page_size() noexcept {
  static const auto size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

// MADV_DONTFORK is left out on purpose. It was needed when a fork made the parent's pages
// copy-on-write and so took them away from under the device; since Linux 5.9 pinned pages are
// copied for the child at fork. With it a child that reads a buffer it inherited would crash.
Mapping Mapping::for_area(size_t size, PageSize pages) {
  if (size > SIZE_MAX - kHugePage) throw_errno(ENOMEM, "mmap");
  Mapping mapping;
  if (pages != PageSize::kAny) {
    mapping = Mapping(map_huge(size, pages), size);
  } else if (size >= kHugePage) {
    mapping = Mapping(map_aligned(size), size);
    madvise(mapping.base_, size, MADV_HUGEPAGE);  // a wish; small pages will do
  } else {
    mapping = Mapping(map(size, 0), size);
  }
  if (const int error = fault_in(mapping.base_, size)) throw_errno(error, "no memory for the area");
  return mapping;
}

Mapping Mapping::of_program(void* p, size_t size, bool writable) {
  const auto first = reinterpret_cast<uintptr_t>(p) / page_size() * page_size();
  const auto end =
      (reinterpret_cast<uintptr_t>(p) + size + page_size() - 1) / page_size() * page_size();
  auto* const base = reinterpret_cast<char*>(first);
  if (!is_mapped(base, end - first)) throw_errno(EFAULT, "not all of it is mapped");
  const int error =
      populate(base, end - first, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
  if (error == EFAULT) throw_errno(EFAULT, "beyond the end of a file");
  if (error == EINVAL && kernel_populates()) throw_errno(EACCES, "the mapping forbids it");
  if (error != 0 && error != EINVAL) throw_errno(ENOMEM, "no memory for the area");
  return Mapping(static_cast<char*>(p), size, false);
}

Mapping Mapping::sparse(size_t size) {
  Mapping mapping(map(size, MAP_NORESERVE), size);
  // One touched byte must not cost a huge page.
  madvise(mapping.base_, size, MADV_NOHUGEPAGE);
  return mapping;
}

Mapping::~Mapping() {
  if (base_ != nullptr && owned_) munmap(base_, size_);
}

void Mapping::clear() noexcept {
  if (base_ != nullptr) madvise(base_, size_, MADV_DONTNEED);
}

}  // namespace sio::internal
