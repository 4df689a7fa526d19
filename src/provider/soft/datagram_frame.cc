// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/datagram_frame.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

#include <cstring>

namespace sio::internal::provider::soft {
namespace {

constexpr char kDatagramMagic[4] = {'s', 'i', 'o', 'D'};
constexpr uint8_t kTimeToLive = 64;
constexpr uint32_t kFlowLabelPort = 0xffff;

void put(char* to, uint32_t value) noexcept {
  value = htonl(value);
  std::memcpy(to, &value, sizeof value);
}

uint32_t get(const char* from) noexcept {
  uint32_t value;
  std::memcpy(&value, from, sizeof value);
  return ntohl(value);
}

const sockaddr_in& as_v4(const sockaddr_storage& address) noexcept {
  return reinterpret_cast<const sockaddr_in&>(address);
}
const sockaddr_in6& as_v6(const sockaddr_storage& address) noexcept {
  return reinterpret_cast<const sockaddr_in6&>(address);
}

}  // namespace

DatagramBytes encode(const DatagramHeader& header) noexcept {
  DatagramBytes bytes{};
  std::memcpy(bytes.data(), kDatagramMagic, sizeof kDatagramMagic);
  bytes[4] = static_cast<char>(header.kind);
  bytes[5] = static_cast<char>(header.flags);
  put(bytes.data() + 8, header.destination);
  put(bytes.data() + 12, header.source);
  put(bytes.data() + 16, header.key);
  std::memcpy(bytes.data() + 20, &header.immediate, sizeof header.immediate);
  return bytes;
}

bool decode(const DatagramBytes& bytes, DatagramHeader& header) noexcept {
  header.kind = static_cast<DatagramHeader::Kind>(bytes[4]);
  header.flags = static_cast<uint8_t>(bytes[5]);
  header.destination = get(bytes.data() + 8);
  header.source = get(bytes.data() + 12);
  header.key = get(bytes.data() + 16);
  std::memcpy(&header.immediate, bytes.data() + 20, sizeof header.immediate);
  return std::memcmp(bytes.data(), kDatagramMagic, sizeof kDatagramMagic) == 0 &&
         header.kind >= DatagramHeader::Kind::kMessage &&
         header.kind <= DatagramHeader::Kind::kHere &&
         (header.flags & ~DatagramHeader::kSolicited) == 0 && bytes[6] == 0 && bytes[7] == 0;
}

void write_grh(char* to, const sockaddr_storage& from, const sockaddr_storage& at,
               size_t size) noexcept {
  std::memset(to, 0, QueuePair::kGrhBytes);
  const auto length = htons(static_cast<uint16_t>(DatagramHeader::kSize + size));
  ip6_hdr v6{};
  v6.ip6_flow = htonl(uint32_t{6} << 28 | ntohs(as_v6(from).sin6_port));  // at one place in both
  v6.ip6_plen = length;
  v6.ip6_nxt = IPPROTO_UDP;
  v6.ip6_hlim = kTimeToLive;
  if (from.ss_family == AF_INET6) {
    v6.ip6_src = as_v6(from).sin6_addr;
    v6.ip6_dst = as_v6(at).sin6_addr;
    std::memcpy(to, &v6, sizeof v6);
    return;
  }
  iphdr v4{};
  v4.version = IPVERSION;
  v4.ihl = sizeof v4 / 4;
  v4.tot_len = length;
  v4.ttl = kTimeToLive;
  v4.protocol = IPPROTO_UDP;
  v4.saddr = as_v4(from).sin_addr.s_addr;
  v4.daddr = as_v4(at).sin_addr.s_addr;
  put(to, ntohs(as_v4(from).sin_port));
  std::memcpy(to + QueuePair::kGrhBytes - sizeof v4, &v4, sizeof v4);
}

sockaddr_storage read_grh(const void* grh) noexcept {
  const auto* const from = static_cast<const char*>(grh);
  sockaddr_storage address{};
  const uint32_t first = get(from);
  const auto port = htons(static_cast<uint16_t>(first & kFlowLabelPort));
  if (first >> 28 == 6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = port;
    std::memcpy(&v6.sin6_addr, from + offsetof(ip6_hdr, ip6_src), sizeof v6.sin6_addr);
  } else {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    v4.sin_family = AF_INET;
    v4.sin_port = port;
    std::memcpy(&v4.sin_addr, from + QueuePair::kGrhBytes - sizeof(iphdr) + offsetof(iphdr, saddr),
                sizeof v4.sin_addr);
  }
  return address;
}

}  // namespace sio::internal::provider::soft
