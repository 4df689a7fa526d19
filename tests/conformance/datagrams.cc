// SPDX-License-Identifier: BSD-2-Clause
#include "conformance/datagrams.h"

#include <netinet/in.h>

#include <cerrno>
#include <cstring>

namespace sio::test {

Socket make_datagram_socket(int flags, int family) {
  return Socket::make(flags, family, SOCK_DGRAM);
}

int try_send_to(const Socket& socket, const Address& to, const void* data, size_t size, int flags) {
  const std::span bytes(static_cast<const std::byte*>(data), size);
  return socket.send_to(to.storage(), bytes, flags).error();
}

void send_to(const Socket& socket, const Address& to, std::string_view text, int flags) {
  must(socket.send_to(to.storage(), text, flags), "sio_sendto");
}

Received receive_from(const Socket& socket) {
  auto [status, buffer, from] = socket.receive_from();
  must(status, "sio_recvfrom");
  return {Message(std::move(buffer)), Address(reinterpret_cast<const sockaddr*>(&from))};
}

std::optional<Received> try_receive_from(const Socket& socket) {
  auto [status, buffer, from] = socket.receive_from(MSG_DONTWAIT);
  if (status.again()) return std::nullopt;
  must(status, "sio_recvfrom");
  return Received{Message(std::move(buffer)), Address(reinterpret_cast<const sockaddr*>(&from))};
}

std::optional<Received> await_from(const Socket& socket, milliseconds limit) {
  std::optional<Received> received;
  eventually([&] { return (received = try_receive_from(socket)).has_value(); }, limit);
  return received;
}

std::string insist(Peer& peer, const std::string& words, const std::function<void()>& send) {
  constexpr int kTimes = 20;
  for (int i = 1;; ++i) {
    send();
    try {
      return peer.expect(words, milliseconds(500));
    } catch (const std::exception&) {
      if (i == kTimes) throw;
    }
  }
}

// ---------------------------------------------------------------------------------------- groups

namespace {

int set_membership(const Socket& socket, const Address& group, bool member) {
  int result;
  if (group.family() == AF_INET6) {
    const ipv6_mreq wish{reinterpret_cast<const sockaddr_in6*>(group.get())->sin6_addr, 0};
    result = sio_setsockopt(socket.get(), IPPROTO_IPV6, member ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP,
                            &wish, sizeof wish);
  } else {
    const ip_mreq wish{reinterpret_cast<const sockaddr_in*>(group.get())->sin_addr, {}};
    result = sio_setsockopt(socket.get(), IPPROTO_IP,
                            member ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &wish, sizeof wish);
  }
  return result == 0 ? 0 : errno;
}

}  // namespace

int try_join(const Socket& socket, const Address& group) {
  return set_membership(socket, group, true);
}

int try_leave(const Socket& socket, const Address& group) {
  return set_membership(socket, group, false);
}

void join(const Socket& socket, const Address& group) {
  if (const int error = try_join(socket, group)) fail("joining: %s", std::strerror(error));
}

}  // namespace sio::test
