// SPDX-License-Identifier: BSD-2-Clause
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>

#include <memory>

#include "info/inventory.h"

namespace sio_info {
namespace {

std::string text_of(const sockaddr* address) {
  char text[NI_MAXHOST] = "";
  const socklen_t length =
      address->sa_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  ::getnameinfo(address, length, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  return text;
}

}  // namespace

std::vector<Gid> addresses_of_interfaces() {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> list(all, ::freeifaddrs);
  std::vector<Gid> found;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || (one->ifa_flags & IFF_UP) == 0) continue;
    if (one->ifa_addr->sa_family != AF_INET && one->ifa_addr->sa_family != AF_INET6) continue;
    found.push_back(
        {static_cast<uint32_t>(found.size()), "address", text_of(one->ifa_addr), one->ifa_name});
  }
  return found;
}

std::string interface_with(const std::string& address) {
  for (const Gid& one : addresses_of_interfaces()) {
    if (one.address == address) return one.interface;
  }
  return "";
}

}  // namespace sio_info
