// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/endpoint.h"

#include <arpa/inet.h>

namespace sio::internal::provider::soft {

// What a device would say of itself. Messages are not cut: 4096 is what devices mostly have.
PortInfo SoftEndpoint::port_info() const {
  PortInfo info;
  if (device() == nullptr) return info;
  info.device = device_.name();
  info.port = 1;
  info.mtu = 4096;
  const sockaddr_storage local = local_address();
  char text[INET6_ADDRSTRLEN];
  if (local.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(local).sin6_addr, text, sizeof text);
    info.gid = text;
  } else {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(local).sin_addr, text, sizeof text);
    info.gid = std::string("::ffff:") + text;
  }
  return info;
}

}  // namespace sio::internal::provider::soft
