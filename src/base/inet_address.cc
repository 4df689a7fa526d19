// SPDX-License-Identifier: BSD-2-Clause
#include "base/inet_address.h"

#include <algorithm>
#include <bit>

namespace sio::internal {

InetAddress::InetAddress(const sockaddr* address) noexcept {
  family_ = address->sa_family;
  if (family_ == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, address, sizeof v6);
    port_ = ntohs(v6.sin6_port);
    scope_ = v6.sin6_scope_id;
    std::memcpy(ip_.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
    if (!is_link_local() && !is_group()) scope_ = 0;
  } else if (family_ == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, address, sizeof v4);
    port_ = ntohs(v4.sin_port);
    std::memcpy(ip_.data(), &v4.sin_addr, sizeof v4.sin_addr);
  } else {
    family_ = AF_UNSPEC;
  }
}

InetAddress InetAddress::of_ipv4(const void* bytes) noexcept {
  InetAddress address;
  address.family_ = AF_INET;
  std::memcpy(address.ip_.data(), bytes, sizeof(in_addr));
  return address;
}

InetAddress InetAddress::of_ipv6(const void* bytes) noexcept {
  in6_addr v6;
  std::memcpy(&v6, bytes, sizeof v6);
  if (IN6_IS_ADDR_V4MAPPED(&v6)) return of_ipv4(v6.s6_addr + 12);
  InetAddress address;
  address.family_ = AF_INET6;
  std::memcpy(address.ip_.data(), bytes, sizeof v6);
  return address;
}

bool InetAddress::is_group() const noexcept {
  return family_ == AF_INET6 ? ip_[0] == 0xff : family_ == AF_INET && ip_[0] >> 4 == 0xe;
}

bool InetAddress::is_wildcard() const noexcept {
  return std::all_of(ip_.begin(), ip_.end(), [](uint8_t byte) { return byte == 0; });
}

bool InetAddress::is_link_local() const noexcept {
  return family_ == AF_INET6 && ip_[0] == 0xfe && (ip_[1] & 0xc0) == 0x80;
}

socklen_t InetAddress::write_to(void* address) const noexcept {
  if (family_ == AF_INET6) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port_);
    v6.sin6_scope_id = scope_;
    std::memcpy(&v6.sin6_addr, ip_.data(), sizeof v6.sin6_addr);
    std::memcpy(address, &v6, sizeof v6);
    return sizeof v6;
  }
  sockaddr_in v4{};
  v4.sin_family = family_;
  v4.sin_port = htons(port_);
  std::memcpy(&v4.sin_addr, ip_.data(), sizeof v4.sin_addr);
  std::memcpy(address, &v4, sizeof v4);
  return sizeof v4;
}

uint64_t InetAddress::hash(uint64_t seed) const noexcept {
  uint64_t words[2];
  std::memcpy(words, ip_.data(), sizeof words);
  const uint64_t rest = uint64_t{family_} << 48 | uint64_t{port_} << 32 | scope_;
  // In every factor there is something of the seed: one that could be chosen could be chosen such
  // that the product is zero, whatever the other is.
  return mix(mix(words[0] ^ seed, words[1] ^ std::rotl(seed, 32)), rest ^ seed);
}

}  // namespace sio::internal
