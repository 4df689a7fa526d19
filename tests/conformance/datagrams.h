// SPDX-License-Identifier: BSD-2-Clause
//
// Datagram sockets as the tests and their peers use them.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "conformance/peer.h"
#include "conformance/support.h"

namespace sio::test {

Socket make_datagram_socket(int flags = 0, int family = AF_UNSPEC);

// 0, or the errno.
int try_send_to(const Socket& socket, const Address& to, const void* data, size_t size,
                int flags = 0);
// Blocking.
void send_to(const Socket& socket, const Address& to, std::string_view text, int flags = 0);

struct Received {
  Message message;
  Address from;
};
// Blocking.
Received receive_from(const Socket& socket);
// Nothing: none is there.
std::optional<Received> try_receive_from(const Socket& socket);
// One comes within this time.
std::optional<Received> await_from(const Socket& socket, milliseconds limit = kSoon);

// Sends until the peer says these words, since any datagram may be lost: the rest of its line.
std::string insist(Peer& peer, const std::string& words, const std::function<void()>& send);

// IP_ADD_MEMBERSHIP or IPV6_JOIN_GROUP, and the opposite: 0 or the errno.
int try_join(const Socket& socket, const Address& group);
int try_leave(const Socket& socket, const Address& group);
void join(const Socket& socket, const Address& group);

}  // namespace sio::test
