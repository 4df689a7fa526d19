// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "provider/provider.h"
#include "provider/soft/attendant.h"
#include "provider/soft/memory_table.h"

namespace sio::internal::provider::soft {

class SoftDevice final : public Device {
 public:
  explicit SoftDevice(unsigned index) : index_(index) {}

  const std::string& name() const noexcept override { return name_; }
  unsigned index() const noexcept override { return index_; }
  const DeviceLimits& limits() const noexcept override { return limits_; }
  using Device::register_memory;
  std::unique_ptr<MemoryRegion> register_memory(void* base, size_t size, bool writable) override;
  std::unique_ptr<CompletionChannel> create_completion_channel() override;
  std::unique_ptr<SharedReceiveQueue> create_shared_receive_queue(uint32_t receives) override;

  // What a device would say of itself where it has this address.
  PortInfo port_info(const sockaddr_storage& local) const;
  const MemoryTable& memory() const noexcept { return memory_; }
  Attendant& attendant() noexcept { return attendant_; }

 private:
  const unsigned index_;
  const std::string name_ = "soft";
  const DeviceLimits limits_{.max_cq_entries = 1u << 20, .max_qp_wr = 1u << 15, .max_sge = 32};
  MemoryTable memory_;
  Attendant attendant_;
};

}  // namespace sio::internal::provider::soft
