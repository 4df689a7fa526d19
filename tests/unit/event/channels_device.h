// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <memory>
#include <string>

#include "provider/provider.h"

namespace sio::internal {

// A device of which nothing is used but its completion channels, which a test makes.
class ChannelsDevice : public provider::Device {
 public:
  explicit ChannelsDevice(uint32_t most_entries = 1024) noexcept
      : limits_{most_entries, 1024, 16} {}
  const std::string& name() const noexcept final { return name_; }
  unsigned index() const noexcept final { return 0; }
  const provider::DeviceLimits& limits() const noexcept final { return limits_; }
  std::unique_ptr<provider::MemoryRegion> register_memory(void*, size_t, bool) final {
    return nullptr;
  }
  std::unique_ptr<provider::SharedReceiveQueue> create_shared_receive_queue(uint32_t) final {
    return nullptr;
  }

 private:
  const std::string name_ = "fake";
  const provider::DeviceLimits limits_;
};

}  // namespace sio::internal
