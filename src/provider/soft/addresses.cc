// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/addresses.h"

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
