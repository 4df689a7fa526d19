// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/endpoint.h"

#include "base/error.h"

namespace sio::internal::provider::soft {

PortInfo SoftEndpoint::port_info() const {
  return device() == nullptr ? PortInfo{} : device_.port_info(local_address());
}

std::unique_ptr<Destination> SoftEndpoint::source_of(const ibv_wc&, const void*) {
  throw_errno(EINVAL, "where a datagram came from, of a connection");
}

}  // namespace sio::internal::provider::soft
