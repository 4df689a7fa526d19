// SPDX-License-Identifier: BSD-2-Clause
#include <mutex>
#include <system_error>

#include "base/log.h"
#include "config/settings.h"
#include "provider/provider.h"

namespace sio::internal::provider {
namespace {

Factory factory = create_chosen_provider;

}  // namespace

std::unique_ptr<Provider> create_chosen_provider() {
  const std::string& wish = settings().provider;
  if (wish == "soft") {
    LOG_INFO("provider: soft, as the setting says");
    return create_soft_provider();
  }
  try {
    auto verbs = create_verbs_provider();
    LOG_INFO("provider: verbs, %s", wish == "verbs" ? "as the setting says" : "there is a device");
    return verbs;
  } catch (const std::system_error& error) {
    if (error.code().value() != ENODEV) throw;
    if (wish == "verbs") {
      LOG_ERROR(
          "no RDMA device with an active port. See `rdma link`; for soft-RoCE: `modprobe rdma_rxe` "
          "and `rdma link add rxe0 type rxe netdev <interface>`; a container needs --device "
          "/dev/infiniband; without a device SIO_PROVIDER=soft does");
      throw;
    }
    LOG_INFO("provider: soft, since there is no RDMA device with an active port");
    return create_soft_provider();
  }
}

void set_factory(Factory make) noexcept { factory = make; }

// Not a static local with an initialiser that throws: a device may appear later, so that each
// call tries again until one succeeds. Never destroyed: nothing of the library runs at exit.
Provider& instance() {
  static std::mutex* const mutex = new std::mutex;
  static Provider* provider = nullptr;
  const std::lock_guard lock(*mutex);
  if (provider == nullptr) provider = factory().release();
  return *provider;
}

}  // namespace sio::internal::provider
