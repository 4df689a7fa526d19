// SPDX-License-Identifier: BSD-2-Clause
//
// Addresses of sockets of the kernel.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

namespace sio::internal::provider::soft {

inline socklen_t size_of(const sockaddr* address) noexcept {
  return address->sa_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

// Of a socket and of its peer; all zero if there is none.
sockaddr_storage name_of(int fd) noexcept;
sockaddr_storage peer_of(int fd) noexcept;

sockaddr_storage without_port(sockaddr_storage address) noexcept;

// Address and port.
bool same(const sockaddr_storage& one, const sockaddr_storage& other) noexcept;

// Whether a connection between them stays within this host: one address, or two of loopback's.
bool within_host(const sockaddr_storage& local, const sockaddr_storage& peer) noexcept;

bool is_group(const sockaddr_storage& address) noexcept;

// By which of this host's interfaces a socket with this name reaches groups: that of its address;
// of one that has none, where the route leads, or the loopback interface. 0 or an errno.
int choose_interface(int fd, const sockaddr_storage& local) noexcept;
// A member of the group from now on, on that interface. 0 or an errno.
int join_group(int fd, const sockaddr_storage& group, const sockaddr_storage& local) noexcept;

// Which of this host's addresses packets to `peer` leave from: 0, or an errno when none do.
int source_for(const sockaddr* peer, sockaddr_storage& source) noexcept;

}  // namespace sio::internal::provider::soft
