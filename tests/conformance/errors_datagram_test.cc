// SPDX-License-Identifier: BSD-2-Clause
//
// What each call that sends says of a datagram's address, and each that binds the socket of the
// memory for it. (tests/faults has what a connection manager may say besides.)
#include <netinet/in.h>

#include <cerrno>

#include "conformance/datagrams.h"
#include "conformance/fixtures.h"
#include "conformance/requests.h"

namespace sio::test {
namespace {

Socket make_bound(int flags = 0) {
  Socket socket = make_datagram_socket(flags);
  socket.bind(Address::self());
  return socket;
}

// One byte to an address.
struct OneByte {
  explicit OneByte(const Address& address) : to(address) {
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    header.msg_name = const_cast<sockaddr*>(to.get());
    header.msg_namelen = to.size();
  }

  Address to;
  char text[1] = {'x'};
  iovec piece{text, 1};
  msghdr header{};
};

// Goes on until it fails.
int until_it_fails(const std::function<int()>& call) {
  return eventually([&] { return call() != 0; }) ? -1 : 0;
}

class ErrorsOfDatagrams : public DeviceTest {
 protected:
  static int send_message(const Socket& socket, const Address& to) {
    const OneByte message(to);
    return sio_sendmsg(socket.get(), &message.header, sizeof message.header, 0);
  }
  // A request that is queued ends before this returns.
  static int request(const Socket& socket, const Address& to) {
    OneByte message(to);
    aio_cb block = with(message.header, on(socket.get(), nullptr, 0));
    const int result = aio_sendmsg(&block, 0);
    if (result == 0) outcome(block);
    return result;
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
      {"aio_sendmsg", [&] { return until_it_fails([&] { return request(socket, nobody); }); },
       ECONNREFUSED},
  });
  // What was copied and queued: the error is found when nobody waits for it.
  const Socket other = make_bound();
  EXPECT_EQ(try_send_to(other, nobody, "x", 1, MSG_DONTWAIT), 0);
  expect_errors({{"flush", [&] { return sio_flush(other.get(), nullptr); }, ECONNREFUSED}});
  EXPECT_EQ(sio_flush(other.get(), nullptr), 0) << "told once";
}

// What is not heard from is asked for again every 10 s.
TEST_F(ErrorsOfDatagrams, ToAPeerThatHasGoneAreRefusedAfterAWhile) {
  Socket far = make_bound();
  const auto make_connected = [&] {
    Socket socket = make_datagram_socket();
    socket.connect(far.name());
    return socket;
  };
  const Socket sockets[] = {make_connected(), make_connected(), make_connected(), make_connected(),
                            make_connected()};
  far.close();
  char text[] = "x";
  iovec piece{text, 1};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  const auto send = [&](int fd) { return sio_send(fd, text, 1, 0); };
  const auto sendmsg = [&](int fd) { return sio_sendmsg(fd, &message, sizeof message, 0); };
  const auto until = [&](int i, auto call) {
    return until_it_fails([&] { return call(sockets[i].get()); });
  };
  expect_errors({
      {"send", [&] { return until(0, send); }, ECONNREFUSED},
      {"sendmsg", [&] { return until(1, sendmsg); }, ECONNREFUSED},
      {"aio_send", [&] { return until(2, send_by_request); }, ECONNREFUSED},
      {"aio_write_ec", [&] { return until(3, write_by_request); }, ECONNREFUSED},
      {"aio_sendmsg", [&] { return until(4, sendmsg_by_request); }, ECONNREFUSED},
  });
}

TEST_F(ErrorsOfDatagrams, ToAnotherFamilyAreRefused) {
  const Socket socket = make_bound();
  const Address other(Address::self().family() == AF_INET ? "::1" : "127.0.0.1", 7);
  expect_errors({
      {"sendto", [&] { return send_to_address(socket, other); }, EAFNOSUPPORT},
      {"sendmsg", [&] { return send_message(socket, other); }, EAFNOSUPPORT},
      {"aio_sendmsg", [&] { return request(socket, other); }, EAFNOSUPPORT},
  });
}

TEST_F(ErrorsOfDatagrams, WithoutAnAddressGoNowhere) {
  const Socket socket = make_bound();
  msghdr message{};
  char text[] = "x";
  aio_cb block = with(message, on(socket.get(), text, 1));
  expect_errors({
      {"aio_send", [&] { return aio_send(&block, 0); }, EDESTADDRREQ},
      {"aio_sendmsg", [&] { return aio_sendmsg(&block, 0); }, EDESTADDRREQ},
      {"aio_write_ec", [&] { return aio_write_ec(&block); }, EDESTADDRREQ},
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

TEST_F(ErrorsOfDatagrams, BoundWithoutRoomForTheirSlots) {
  const Area area(65'536);
  Socket socket = make_datagram_socket();
  socket.set(SIO_RECV_SLOTS, 2).associate(area, DMA_RECV).set(SIO_RECV_SLOTS, 15);
  const Message most = Message::reserve(area, 40'000);
  const Address self = Address::self();
  const Address to = Address::self(7);
  const ip_mreq four{{htonl(0xefff0801)}, {}};
  const ipv6_mreq six{{{{0xff, 0x15, 0, 0, 0, 8}}}, 0};
  const auto join = [&] {
    if (self.family() == AF_INET6)
      return sio_setsockopt(socket.get(), IPPROTO_IPV6, IPV6_JOIN_GROUP, &six, sizeof six);
    return sio_setsockopt(socket.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &four, sizeof four);
  };
  expect_errors({
      {"bind", [&] { return sio_bind(socket.get(), self.get(), self.size()); }, ENOBUFS},
      {"connect", [&] { return sio_connect(socket.get(), to.get(), to.size()); }, ENOBUFS},
      {"sendto", [&] { return send_to_address(socket, to); }, ENOBUFS},
      {"sendmsg", [&] { return send_message(socket, to); }, ENOBUFS},
      {"aio_sendmsg", [&] { return request(socket, to); }, ENOBUFS},
      {"setsockopt", join, ENOBUFS},
  });
  socket.set(SIO_RECV_SLOTS, 2).bind(self);
}

}  // namespace
}  // namespace sio::test
