// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <cerrno>
#include <cstring>

#include "base/fd.h"

namespace sio::internal::provider::soft {

sockaddr_storage name_of(int fd) noexcept {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size);
  return name;
}

sockaddr_storage peer_of(int fd) noexcept {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  getpeername(fd, reinterpret_cast<sockaddr*>(&name), &size);
  return name;
}

sockaddr_storage without_port(sockaddr_storage address) noexcept {
  if (address.ss_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(address).sin6_port = 0;
  } else {
    reinterpret_cast<sockaddr_in&>(address).sin_port = 0;
  }
  return address;
}

bool same(const sockaddr_storage& one, const sockaddr_storage& other) noexcept {
  if (one.ss_family != other.ss_family) return false;
  if (one.ss_family == AF_INET) {
    const auto& a = reinterpret_cast<const sockaddr_in&>(one);
    const auto& b = reinterpret_cast<const sockaddr_in&>(other);
    return a.sin_port == b.sin_port && a.sin_addr.s_addr == b.sin_addr.s_addr;
  }
  const auto& a = reinterpret_cast<const sockaddr_in6&>(one);
  const auto& b = reinterpret_cast<const sockaddr_in6&>(other);
  return a.sin6_port == b.sin6_port &&
         std::memcmp(&a.sin6_addr, &b.sin6_addr, sizeof a.sin6_addr) == 0;
}

bool within_host(const sockaddr_storage& local, const sockaddr_storage& peer) noexcept {
  if (same(without_port(local), without_port(peer))) return true;
  const auto is_loopback = [](const sockaddr_storage& address) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return address.ss_family == AF_INET && ntohl(v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
  };
  return is_loopback(local) && is_loopback(peer);
}

namespace {

bool is_wildcard(const sockaddr_storage& address) noexcept {
  if (address.ss_family == AF_INET6) {
    return IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
  }
  return reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr == htonl(INADDR_ANY);
}

sockaddr_storage address_from(int family, const char* text) noexcept {
  sockaddr_storage address{};
  address.ss_family = static_cast<sa_family_t>(family);
  void* const to = family == AF_INET6
                       ? static_cast<void*>(&reinterpret_cast<sockaddr_in6&>(address).sin6_addr)
                       : &reinterpret_cast<sockaddr_in&>(address).sin_addr;
  inet_pton(family, text, to);
  return address;
}

// That of the interface.
sockaddr_storage group_source(const sockaddr_storage& local) noexcept {
  if (!is_wildcard(local)) return local;
  const bool v6 = local.ss_family == AF_INET6;
  sockaddr_storage far = address_from(local.ss_family, v6 ? "ff0e::1" : "239.0.0.1");
  (v6 ? reinterpret_cast<sockaddr_in6&>(far).sin6_port
      : reinterpret_cast<sockaddr_in&>(far).sin_port) = htons(9);
  sockaddr_storage source{};
  if (source_for(reinterpret_cast<const sockaddr*>(&far), source) == 0) return source;
  return address_from(local.ss_family, v6 ? "::1" : "127.0.0.1");
}

// The interface that has this address; 0: none.
unsigned index_of(const sockaddr_storage& address) noexcept {
  const auto& wanted = reinterpret_cast<const sockaddr_in6&>(address);
  if (wanted.sin6_scope_id != 0) return wanted.sin6_scope_id;
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return 0;
  unsigned index = 0;
  for (const ifaddrs* one = all; one != nullptr && index == 0; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET6) continue;
    const auto& has = reinterpret_cast<const sockaddr_in6*>(one->ifa_addr)->sin6_addr;
    if (IN6_ARE_ADDR_EQUAL(&has, &wanted.sin6_addr)) index = if_nametoindex(one->ifa_name);
  }
  freeifaddrs(all);
  return index;
}

}  // namespace

bool is_group(const sockaddr_storage& address) noexcept {
  if (address.ss_family == AF_INET6) {
    return IN6_IS_ADDR_MULTICAST(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
  }
  return IN_MULTICAST(ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr));
}

int choose_interface(int fd, const sockaddr_storage& local) noexcept {
  const sockaddr_storage source = group_source(local);
  int result;
  if (local.ss_family == AF_INET6) {
    const unsigned index = index_of(source);
    result = setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index);
  } else {
    const in_addr address = reinterpret_cast<const sockaddr_in&>(source).sin_addr;
    result = setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &address, sizeof address);
  }
  return result == 0 ? 0 : errno;
}

int join_group(int fd, const sockaddr_storage& group, const sockaddr_storage& local) noexcept {
  const sockaddr_storage source = group_source(local);
  int result;
  if (group.ss_family == AF_INET6) {
    const ipv6_mreq wish{reinterpret_cast<const sockaddr_in6&>(group).sin6_addr, index_of(source)};
    result = setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &wish, sizeof wish);
  } else {
    const ip_mreq wish{reinterpret_cast<const sockaddr_in&>(group).sin_addr,
                       reinterpret_cast<const sockaddr_in&>(source).sin_addr};
    result = setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &wish, sizeof wish);
  }
  return result == 0 ? 0 : errno;
}

// Connecting a datagram socket sends nothing, and makes the kernel choose.
int source_for(const sockaddr* peer, sockaddr_storage& source) noexcept {
  const OwnFd fd(::socket(peer->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return errno;
  if (::connect(fd.get(), peer, size_of(peer)) != 0) {
    return errno == EACCES ? EHOSTUNREACH : errno;  // a broadcast address
  }
  source = without_port(name_of(fd.get()));
  return 0;
}

}  // namespace sio::internal::provider::soft
