// SPDX-License-Identifier: BSD-2-Clause
//
// The registered memory of the process, by key. Looked at for each scatter/gather entry, on any
// thread and without a lock; entries are reused, with another key.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace sio::internal::provider::soft {

class MemoryTable {
 public:
  static constexpr size_t kMost = 65'536;  // registrations at once

  // The key; throws ENOMEM when there are too many.
  uint32_t add(const void* base, size_t size, bool writable = true);
  void remove(uint32_t key) noexcept;

  // Whether all of these bytes lie in what `key` names; `to_write`: and may be written.
  bool covers(uint32_t key, uint64_t address, size_t size, bool to_write = false) const noexcept;

 private:
  struct Entry {
    std::atomic<uint32_t> key{0};  // 0: none
    std::atomic<uint64_t> base{0};
    std::atomic<uint64_t> size{0};
    std::atomic<bool> writable{false};
  };
  // Keys are index << 8 | turn, so that a key that was given back is not soon given out again.
  static constexpr unsigned kTurnBits = 8;
  static constexpr size_t kPage = 256;
  using Page = std::array<Entry, kPage>;

  Entry* find(uint32_t index) const noexcept;

  std::array<std::atomic<Page*>, kMost / kPage> pages_{};
  std::mutex mutex_;  // guards what follows
  std::vector<std::unique_ptr<Page>> owned_;
  std::vector<uint32_t> free_;
  uint32_t used_ = 1;  // index 0 is nobody's: no key is 0
};

}  // namespace sio::internal::provider::soft
