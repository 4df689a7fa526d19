// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sio::internal {

// An address with a port, of IPv4 or IPv6, that can be compared and be a key.
class InetAddress {
 public:
  InetAddress() noexcept = default;
  explicit InetAddress(const sockaddr* address) noexcept;
  explicit InetAddress(const sockaddr_storage& address) noexcept
      : InetAddress(reinterpret_cast<const sockaddr*>(&address)) {}
  // With port 0. A mapped IPv4 address is one of IPv4.
  static InetAddress of_ipv4(const void* bytes) noexcept;
  static InetAddress of_ipv6(const void* bytes) noexcept;

  bool is_set() const noexcept { return family_ != AF_UNSPEC; }
  int family() const noexcept { return family_; }
  uint16_t port() const noexcept { return port_; }
  uint32_t scope() const noexcept { return scope_; }
  bool is_group() const noexcept;
  bool is_wildcard() const noexcept;
  bool is_link_local() const noexcept;  // of IPv6: it takes a scope

  InetAddress with_port(uint16_t port) const noexcept {
    InetAddress other = *this;
    other.port_ = port;
    return other;
  }
  InetAddress with_scope(uint32_t scope) const noexcept {
    InetAddress other = *this;
    other.scope_ = scope;
    return other;
  }

  // The bytes of a sockaddr_in or sockaddr_in6; how many.
  socklen_t write_to(void* address) const noexcept;
  sockaddr_storage to_storage() const noexcept {
    sockaddr_storage storage{};
    write_to(&storage);
    return storage;
  }

  bool operator==(const InetAddress& other) const noexcept = default;
  uint64_t hash(uint64_t seed) const noexcept;

 private:
  uint16_t family_ = AF_UNSPEC;
  uint16_t port_ = 0;
  uint32_t scope_ = 0;
  std::array<uint8_t, 16> ip_{};  // IPv4: the first 4
};

// What it takes to spread keys that somebody else has chosen: not for secrets.
inline uint64_t mix(uint64_t a, uint64_t b) noexcept {
  const unsigned __int128 product =
      static_cast<unsigned __int128>(a ^ 0x9e3779b97f4a7c15) * (b ^ 0xd6e8feb86659fd93);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace sio::internal
