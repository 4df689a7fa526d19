// SPDX-License-Identifier: BSD-2-Clause
//
// From descriptor numbers to the library's objects. Reading takes no lock: an entry is one
// atomic pointer to memory that is never given back (base/stable_pool.h); who has locked the
// object asks again whether the entry still names it. A forked child finds nothing.
#pragma once

#include <array>
#include <atomic>

#include "base/parents_table.h"

namespace sio::internal {

class Channel;
class Socket;

class DescriptorTable {
 public:
  static DescriptorTable& instance() noexcept { return table_; }

  Channel* channel(int fd) const noexcept { return static_cast<Channel*>(load(fd, kChannel)); }
  Socket* socket(int fd) const noexcept { return static_cast<Socket*>(load(fd, kSocket)); }

  void set(int fd, Channel* channel) { store(fd, kChannel, channel); }
  void set(int fd, Socket* socket) { store(fd, kSocket, socket); }
  void clear(int fd) noexcept;

  // Of the program's. Looks at all that there is.
  uint32_t count_channels() const noexcept;

 private:
  enum Type { kChannel, kSocket, kTypes };
  static constexpr int kChunkBits = 10;
  static constexpr int kChunkSize = 1 << kChunkBits;
  static constexpr int kChunks = 1 << 11;  // 2^21 descriptors: twice the kernel's usual most

  // At most one of the two is set.
  using Entry = std::array<std::atomic<void*>, kTypes>;
  using Chunk = std::array<Entry, kChunkSize>;

  void* load(int fd, Type type) const noexcept {
    const auto index = static_cast<unsigned>(fd);
    if (index >= static_cast<unsigned>(kChunks) << kChunkBits) return nullptr;
    const Chunk* chunk = chunks_.at(index >> kChunkBits);
    if (chunk == nullptr) return nullptr;
    // Acquire: pairs with store, so that the object is seen as it was made ready.
    return (*chunk)[index & (kChunkSize - 1)][type].load(std::memory_order_acquire);
  }
  void store(int fd, Type type, void* object);

  static DescriptorTable table_;  // trivially destroyed: nothing runs at exit

  ParentsTable<Chunk, kChunks> chunks_;
};

}  // namespace sio::internal
