// SPDX-License-Identifier: BSD-2-Clause
#include "wire/datagram.h"

#include <netinet/ip.h>
#include <netinet/ip6.h>

namespace sio::internal::wire {
namespace {

constexpr uint8_t kIpv4WithoutOptions = 0x45;

}  // namespace

// Laid out as in provider.h. The device has written them, and not the peer; but which device that
// is nobody knows.
bool decode_grh(const void* grh, InetAddress& from, InetAddress& to) noexcept {
  const auto* const bytes = static_cast<const uint8_t*>(grh);
  if (bytes[0] >> 4 == 6) {
    from = InetAddress::of_ipv6(bytes + offsetof(ip6_hdr, ip6_src));
    to = InetAddress::of_ipv6(bytes + offsetof(ip6_hdr, ip6_dst));
    return true;
  }
  const uint8_t* const v4 = bytes + kGrhBytes - sizeof(iphdr);
  if (v4[0] != kIpv4WithoutOptions) return false;
  from = InetAddress::of_ipv4(v4 + offsetof(iphdr, saddr));
  to = InetAddress::of_ipv4(v4 + offsetof(iphdr, daddr));
  return true;
}

}  // namespace sio::internal::wire
