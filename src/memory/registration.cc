// SPDX-License-Identifier: BSD-2-Clause
#include "memory/registration.h"

#include <memory>
#include <vector>

#include "memory/registrar.h"
#include "provider/provider.h"

namespace sio::internal {
namespace {

// An area's registrations, one per device.
using Regions = std::vector<std::unique_ptr<provider::MemoryRegion>>;

void* register_memory(void* p, size_t n, bool writable, std::array<uint32_t, kMaxDevices>& lkeys) {
  auto regions = std::make_unique<Regions>();
  for (provider::Device* device : provider::instance().devices()) {
    regions->push_back(device->register_memory(p, n, writable));
    lkeys[device->index()] = regions->back()->lkey();
  }
  return regions.release();
}

void deregister(void* token) noexcept { delete static_cast<Regions*>(token); }

}  // namespace

void register_areas_with_provider() {
  static const bool done = [] {
    provider::instance();  // throws: then the next call tries again
    set_registrar({register_memory, deregister});
    return true;
  }();
  (void)done;
}

}  // namespace sio::internal
