// SPDX-License-Identifier: BSD-2-Clause
#include "provider/provider.h"

#include <system_error>

#include "info/inventory.h"

namespace sio_info {

ProviderChoice choose_provider() {
  const std::string& setting = sio::internal::settings().provider;
  const std::string as_set = "the setting provider says so";
  try {
    const std::string name = sio::internal::provider::instance().name();
    if (setting != "auto") return {name, as_set};
    return {name, name == "verbs" ? "there is an RDMA device with an active port"
                                  : "there is no RDMA device with an active port"};
  } catch (const std::system_error& error) {
    return {"", "provider=" + setting + ": " + error.what()};
  }
}

}  // namespace sio_info
