// SPDX-License-Identifier: BSD-2-Clause
#include "provider/provider.h"

#include <fcntl.h>

#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "provider/verbs/completion.h"
#include "provider/verbs/connection_manager.h"
#include "provider/verbs/device.h"

namespace sio::internal::provider {
namespace {

using verbs::VerbsConnectionManager;
using verbs::VerbsDevice;

// An area has room for this many keys (memory/area.h).
constexpr size_t kMaxDevices = 8;

// As long as it lives, librdmacm closes none of them, not even those that have gone.
using Contexts = std::unique_ptr<ibv_context*, void (*)(ibv_context**)>;

Contexts all_contexts() {
  Contexts contexts(rdma_get_devices(nullptr), rdma_free_devices);
  if (contexts == nullptr) throw_errno(ENODEV, "RDMA devices");
  return contexts;
}

std::vector<std::unique_ptr<VerbsDevice>> open_devices(ibv_context* const* contexts) {
  std::vector<std::unique_ptr<VerbsDevice>> devices;
  for (; *contexts != nullptr; ++contexts) {
    ibv_context* const context = *contexts;
    if (devices.size() == kMaxDevices) {
      LOG_WARN("device %s is one more than the %zu that can be used: not used",
               ibv_get_device_name(context->device), kMaxDevices);
      continue;
    }
    auto device = std::make_unique<VerbsDevice>(context, static_cast<unsigned>(devices.size()));
    if (device->has_active_port()) {
      devices.push_back(std::move(device));
    } else {
      LOG_INFO("device %s has no active port: not used", device->name().c_str());
    }
  }
  if (devices.empty()) throw_errno(ENODEV, "RDMA devices with an active port");
  return devices;
}

class VerbsProvider final : public Provider {
 public:
  VerbsProvider()
      : contexts_(all_contexts()), devices_(open_devices(contexts_.get())), manager_(devices_) {
    for (const auto& device : devices_) {
      list_.push_back(device.get());
      const int fd = device->context()->async_fd;
      fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
      LOG_INFO("verbs device %s", device->name().c_str());
    }
  }

  const char* name() const noexcept override { return "verbs"; }
  ConnectionManager& connections() noexcept override { return manager_; }
  std::span<Device* const> devices() noexcept override { return list_; }

  std::vector<int> async_fds() const override {
    std::vector<int> fds;
    for (const auto& device : devices_) fds.push_back(device->context()->async_fd);
    return fds;
  }

  // Queue pairs tell of their failures by failed completions; this is for the log, and because
  // an event that was read and not acknowledged would hold up ibv_destroy_qp.
  bool handle_async(int fd) noexcept override {
    for (const auto& device : devices_) {
      if (device->context()->async_fd == fd) return handle_async(*device);
    }
    return false;
  }

 private:
  static bool handle_async(const VerbsDevice& device) noexcept {
    const char* const name = device.name().c_str();
    for (;;) {
      ibv_async_event event;
      errno = 0;
      if (ibv_get_async_event(device.context(), &event) != 0) break;
      const char* const what = ibv_event_type_str(event.event_type);
      // An overrun has lost a completion for ever. It can not happen: queues have room for all.
      if (event.event_type == IBV_EVENT_CQ_ERR) {
        LOG_ERROR("device %s: %s", name, what);
      } else {
        LOG_INFO("device %s: %s", name, what);
      }
      ibv_ack_async_event(&event);
    }
    if (verbs::more_may_come()) return true;
    LOG_WARN("device %s has gone", name);
    return false;
  }

  Contexts contexts_;
  std::vector<std::unique_ptr<VerbsDevice>> devices_;
  std::vector<Device*> list_;
  VerbsConnectionManager manager_;
};

}  // namespace

std::unique_ptr<Provider> create_verbs_provider() { return std::make_unique<VerbsProvider>(); }

}  // namespace sio::internal::provider
