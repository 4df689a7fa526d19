// SPDX-License-Identifier: BSD-2-Clause
#include <netdb.h>
#include <poll.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "info/inventory.h"
#include "provider/provider.h"

namespace sio_info {
namespace {

namespace provider = sio::internal::provider;
using Kind = provider::ConnectionEvent::Kind;

constexpr int kTimeoutMs = 5000;
const char* const kAnyPort = "1";  // it is not gone to

std::string text_of(const sockaddr_storage& address) {
  char text[NI_MAXHOST] = "";
  ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), sizeof address, text, sizeof text,
                nullptr, 0, NI_NUMERICHOST);
  return text;
}

// What the connection manager says; there is no control thread here, which would take its events.
int resolve(provider::Endpoint& endpoint, const sockaddr* to) {
  provider::ConnectionManager& manager = provider::instance().connections();
  if (const int error = endpoint.resolve(to, kTimeoutMs)) return -error;
  for (;;) {
    provider::ConnectionEvent event;
    while (manager.next_event(event)) {
      if (event.endpoint != endpoint.serial()) continue;
      return event.kind == Kind::kResolved ? 0 : event.error;
    }
    pollfd one{manager.fd(), POLLIN, 0};
    if (::poll(&one, 1, kTimeoutMs) <= 0) return ETIMEDOUT;
  }
}

const Port* port_of(const std::vector<Device>& devices, const provider::PortInfo& info) {
  for (const Device& device : devices) {
    if (device.name != info.device) continue;
    for (const Port& port : device.ports) {
      if (port.number == info.port) return &port;
    }
  }
  return nullptr;
}

std::string explain(const Route& route) {
  std::string why = "the route to " + route.to + " leaves from " + route.from;
  if (!route.interface.empty()) why += ", an address of " + route.interface;
  if (route.gid.type == "address") return why + "; the soft provider takes any";
  return why + "; " + route.device + " has it as GID " + std::to_string(route.gid.index) + ", " +
         route.gid.type;
}

void describe(const provider::Endpoint& endpoint, const std::vector<Device>& devices,
              Route& route) {
  const provider::PortInfo info = endpoint.port_info();
  route.from = text_of(endpoint.local_address());
  route.interface = interface_with(route.from);
  route.device = info.device;
  route.port = info.port;
  route.gid = {info.gid_index, "", info.gid, ""};
  if (const Port* const port = port_of(devices, info)) {
    route.mtu = port->active_mtu;
    const bool soft = port->link_layer == "TCP";  // whose GIDs have no index
    const auto is_it = [&](const Gid& gid) {
      return soft ? gid.address == route.from : gid.index == info.gid_index;
    };
    const auto found = std::find_if(port->gids.begin(), port->gids.end(), is_it);
    if (found != port->gids.end()) route.gid = *found;
  }
  route.why = explain(route);
}

std::string remedy(int error) {
  if (error != ENODEV && error != EADDRNOTAVAIL) return "";
  return ": no RDMA device has an address where the route leaves (loopback addresses are none's); "
         "see `rdma link`, `ip route get ADDRESS`";
}

}  // namespace

Route find_route(const std::string& host, const std::vector<Device>& devices) {
  Route route;
  route.to = host;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* all = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), kAnyPort, &hints, &all)) {
    route.error = ::gai_strerror(error);
    return route;
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(all, ::freeaddrinfo);
  sockaddr_storage to{};
  std::memcpy(&to, all->ai_addr, all->ai_addrlen);
  route.to = text_of(to);
  const auto endpoint = provider::instance().connections().create_endpoint();
  if (const int error = resolve(*endpoint, all->ai_addr)) {
    route.error = std::strerror(error) + remedy(error);
  } else {
    describe(*endpoint, devices, route);
  }
  return route;
}

}  // namespace sio_info
