// SPDX-License-Identifier: BSD-2-Clause
#include "base/local_addresses.h"

#include <ifaddrs.h>
#include <net/if.h>

#include <algorithm>

#include "base/fd.h"

namespace sio::internal {
namespace {

// use(interface, address) of each address of each interface that is up.
template <typename Use>
void for_each_address(Use use) {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || (one->ifa_flags & IFF_UP) == 0) continue;
    const InetAddress address(one->ifa_addr);
    if (address.is_set()) use(*one, address);
  }
  freeifaddrs(all);
}

}  // namespace

// Connecting a datagram socket sends nothing, and makes the kernel choose.
InetAddress source_towards(const InetAddress& peer) noexcept {
  const OwnFd fd(::socket(peer.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage name;
  const socklen_t length = peer.with_port(peer.port() != 0 ? peer.port() : 9).write_to(&name);
  if (!fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&name), length) != 0) return {};
  socklen_t size = sizeof name;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &size) != 0) return {};
  return InetAddress(name).with_port(0);
}

std::vector<InetAddress> local_addresses(int family) {
  std::vector<InetAddress> ours;
  std::vector<InetAddress> loopback;
  for_each_address([&](const ifaddrs& interface, const InetAddress& address) {
    if (address.family() != family) return;
    ((interface.ifa_flags & IFF_LOOPBACK) != 0 ? loopback : ours).push_back(address);
  });
  ours.insert(ours.end(), loopback.begin(), loopback.end());
  return ours;
}

bool interface_has(unsigned index, const InetAddress& address) {
  bool found = false;
  for_each_address([&](const ifaddrs& interface, const InetAddress& one) {
    if (one.with_port(0) == address.with_port(0)) {
      found |= if_nametoindex(interface.ifa_name) == index;
    }
  });
  return found;
}

}  // namespace sio::internal
