// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/device.h"

#include "provider/soft/completion.h"

namespace sio::internal::provider::soft {
namespace {

class SoftMemoryRegion final : public MemoryRegion {
 public:
  SoftMemoryRegion(MemoryTable& table, const void* base, size_t size)
      : table_(table), key_(table.add(base, size)) {}
  ~SoftMemoryRegion() override { table_.remove(key_); }
  SoftMemoryRegion(const SoftMemoryRegion&) = delete;
  SoftMemoryRegion& operator=(const SoftMemoryRegion&) = delete;
  uint32_t lkey() const noexcept override { return key_; }

 private:
  MemoryTable& table_;
  const uint32_t key_;
};

}  // namespace

std::unique_ptr<MemoryRegion> SoftDevice::register_memory(void* base, size_t size) {
  return std::make_unique<SoftMemoryRegion>(memory_, base, size);
}

std::unique_ptr<CompletionChannel> SoftDevice::create_completion_channel() {
  return std::make_unique<SoftCompletionChannel>(attendant_);
}

}  // namespace sio::internal::provider::soft
