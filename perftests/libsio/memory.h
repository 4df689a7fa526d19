// SPDX-License-Identifier: BSD-2-Clause
//
// What a process sends from and receives in, on the library's interface.
#pragma once

#include <sio/sio.h>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace sio_perf {

// Lives as long as the process.
class SioArea {
 public:
  explicit SioArea(size_t size);
  dma_mem_t get() const { return area_; }
  size_t size() const { return size_; }

 private:
  dma_mem_t area_ = nullptr;
  size_t size_;
};

// Associated with every socket.
class SioMemory {
 public:
  // To send so many messages of that size at a time, and to receive so many.
  SioMemory(uint32_t size, size_t sends, size_t receives);

  void associate_with(int socket) const;
  dma_mem_t sends() const { return sends_.get(); }

 private:
  std::optional<SioArea> receives_;  // unless a slot takes such a message
  SioArea sends_;
};

}  // namespace sio_perf
