// SPDX-License-Identifier: BSD-2-Clause
#include "provider/provider.h"

#include "provider/soft/connection_manager.h"
#include "provider/soft/device.h"

namespace sio::internal::provider {
namespace {

class SoftProvider final : public Provider {
 public:
  SoftProvider() : device_(0), list_{&device_}, manager_(device_) {}

  const char* name() const noexcept override { return "soft"; }
  ConnectionManager& connections() noexcept override { return manager_; }
  std::span<Device* const> devices() noexcept override { return list_; }
  std::vector<int> async_fds() const override { return {}; }
  bool handle_async(int) noexcept override { return false; }

 private:
  soft::SoftDevice device_;
  Device* list_[1];
  soft::SoftConnectionManager manager_;
};

}  // namespace

std::unique_ptr<Provider> create_soft_provider() { return std::make_unique<SoftProvider>(); }

}  // namespace sio::internal::provider
