// SPDX-License-Identifier: BSD-2-Clause
#include "conformance/datagrams.h"

#include <netinet/in.h>

#include <cerrno>
#include <cstring>

namespace sio::test {

Socket make_datagram_socket(int flags, int family) {
  if (family == AF_UNSPEC) family = Address::self().family();
  return Socket(must(sio_socket(family, SOCK_DGRAM | flags, 0), "sio_socket"));
}

int try_send_to(const Socket& socket, const Address& to, const void* data, size_t size, int flags) {
  return sio_sendto(socket.get(), data, size, flags, to.get(), to.size()) == 0 ? 0 : errno;
}

void send_to(const Socket& socket, const Address& to, std::string_view text, int flags) {
  must(sio_sendto(socket.get(), text.data(), text.size(), flags, to.get(), to.size()),
       "sio_sendto");
}

namespace {

int receive_into(const Socket& socket, Received& received, int flags) {
  const void* data = nullptr;
  sockaddr_storage from{};
  auto* const name = reinterpret_cast<sockaddr*>(&from);
  const int n = sio_recvfrom(socket.get(), &data, SIZE_MAX, flags, name, sizeof from);
  if (n < 0) return -1;
  received = {Message(const_cast<void*>(data), static_cast<size_t>(n)), Address(name)};
  if ((flags & MSG_PEEK) != 0) received.message.give_up();
  return n;
}

}  // namespace

Received receive_from(const Socket& socket) {
  Received received;
  must(receive_into(socket, received, 0), "sio_recvfrom");
  return received;
}

std::optional<Received> try_receive_from(const Socket& socket, int flags) {
  Received received;
  if (receive_into(socket, received, flags | MSG_DONTWAIT) >= 0) return received;
  if (errno != EAGAIN) fail("sio_recvfrom: %s", std::strerror(errno));
  return std::nullopt;
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
