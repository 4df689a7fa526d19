// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "provider/provider.h"

namespace sio::internal::provider::verbs {

// An RDMA device and the library's one protection domain on it. The context is librdmacm's and
// stays open as long as the process.
class VerbsDevice final : public Device {
 public:
  VerbsDevice(ibv_context* context, unsigned index);
  ~VerbsDevice() override;
  VerbsDevice(const VerbsDevice&) = delete;
  VerbsDevice& operator=(const VerbsDevice&) = delete;

  const std::string& name() const noexcept override { return name_; }
  unsigned index() const noexcept override { return index_; }
  const DeviceLimits& limits() const noexcept override { return limits_; }
  using Device::register_memory;
  std::unique_ptr<MemoryRegion> register_memory(void* base, size_t size, bool writable) override;
  std::unique_ptr<CompletionChannel> create_completion_channel() override;
  std::unique_ptr<SharedReceiveQueue> create_shared_receive_queue(uint32_t receives) override;

  ibv_context* context() const noexcept { return context_; }
  // Whether that context is of this device.
  bool has(const ibv_context* context) const noexcept;
  ibv_pd* protection_domain() const noexcept { return pd_; }
  bool has_active_port() const noexcept;

 private:
  ibv_context* context_;
  unsigned index_;
  std::string name_;
  ibv_pd* pd_;
  DeviceLimits limits_{};
  bool resizes_queues_ = false;
};

}  // namespace sio::internal::provider::verbs
