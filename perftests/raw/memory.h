// SPDX-License-Identifier: BSD-2-Clause
//
// Memory for a device to read and write, at its start a page.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>

namespace sio_perf {

inline constexpr std::align_val_t kPage{4096};

struct PageDeleter {
  void operator()(unsigned char* memory) const { ::operator delete[](memory, kPage); }
};
using PageMemory = std::unique_ptr<unsigned char[], PageDeleter>;

// All zeros.
inline PageMemory page_memory(size_t size) {
  PageMemory memory(static_cast<unsigned char*>(::operator new[](size, kPage)));
  std::memset(memory.get(), 0, size);
  return memory;
}

}  // namespace sio_perf
