// SPDX-License-Identifier: BSD-2-Clause
//
// What each call that sends says of a datagram's address.
#include <cerrno>

#include "conformance/datagrams.h"
#include "conformance/fixtures.h"

namespace sio::test {
namespace {

Socket make_bound(int flags = 0) {
  Socket socket = make_datagram_socket(flags);
  socket.bind(Address::self());
  return socket;
}

class ErrorsOfDatagrams : public DeviceTest {
 protected:
  static int send_message(const Socket& socket, const Address& to) {
    char text[] = "x";
    iovec piece{text, 1};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_name = const_cast<sockaddr*>(to.get());
    message.msg_namelen = to.size();
    return sio_sendmsg(socket.get(), &message, sizeof message, 0);
  }
  static int send_to_address(const Socket& socket, const Address& to) {
    return sio_sendto(socket.get(), "x", 1, 0, to.get(), to.size());
  }
};

TEST_F(ErrorsOfDatagrams, ToNobodyAreRefused) {
  const Address nobody = make_bound().name();
  const Socket socket = make_datagram_socket();
  expect_errors({
      {"sendto", [&] { return send_to_address(socket, nobody); }, ECONNREFUSED},
      {"sendmsg", [&] { return send_message(socket, nobody); }, ECONNREFUSED},
  });
}

TEST_F(ErrorsOfDatagrams, ToAnotherFamilyAreRefused) {
  const Socket socket = make_bound();
  const Address other(Address::self().family() == AF_INET ? "::1" : "127.0.0.1", 7);
  expect_errors({
      {"sendto", [&] { return send_to_address(socket, other); }, EAFNOSUPPORT},
      {"sendmsg", [&] { return send_message(socket, other); }, EAFNOSUPPORT},
  });
}

TEST_F(ErrorsOfDatagrams, WithoutAnAddressGoNowhere) {
  const Socket socket = make_bound();
  msghdr message{};
  expect_errors({
      {"send", [&] { return sio_send(socket.get(), "x", 1, 0); }, EDESTADDRREQ},
      {"sendto", [&] { return sio_sendto(socket.get(), "x", 1, 0, nullptr, 0); }, EDESTADDRREQ},
      {"sendmsg", [&] { return sio_sendmsg(socket.get(), &message, sizeof message, 0); },
       EDESTADDRREQ},
  });
}

TEST_F(ErrorsOfDatagrams, ToAnAddressThatNobodyHasDoNotReachIt) {
  if (on_soft()) GTEST_SKIP() << "any address of loopback is this machine's";
  const std::string self = Address::self().text();
  const Address nobody(self.substr(0, self.rfind('.')) + ".77", 7);
  const Socket socket = make_datagram_socket();
  expect_errors({
      {"sendto", [&] { return send_to_address(socket, nobody); }, EHOSTUNREACH},
      {"sendmsg", [&] { return send_message(socket, nobody); }, EHOSTUNREACH},
  });
}

}  // namespace
}  // namespace sio::test
