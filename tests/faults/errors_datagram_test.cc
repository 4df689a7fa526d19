// SPDX-License-Identifier: BSD-2-Clause
//
// What a connection manager may say of a datagram's address and of groups, and what each call makes
// of it.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cerrno>
#include <functional>
#include <optional>

#include "conformance/datagrams.h"
#include "conformance/fixtures.h"
#include "conformance/requests.h"
#include "faults/faulty_provider.h"

namespace sio::test {
namespace {

// Goes on until it fails.
int until_it_fails(const std::function<int()>& call) {
  return eventually([&] { return call() != 0; }) ? -1 : 0;
}

// The calls that send a byte to an address or group, and a membership.
class ErrorsOfAddresses : public testing::Test {
 protected:
  ErrorsOfAddresses() {
    message_.msg_iov = &piece_;
    message_.msg_iovlen = 1;
  }
  void TearDown() override {
    plan().all_connects = 0;
    EXPECT_TRUE(eventually([] { return plan().left().empty(); })) << plan().left() << "are left";
  }

  int sendto(const Socket& socket) {
    return sio_sendto(socket.get(), "x", 1, 0, to_.get(), to_.size());
  }
  int sendmsg(const Socket& socket) {
    set_name();
    return sio_sendmsg(socket.get(), &message_, sizeof message_, 0);
  }
  int request(const Socket& socket) {
    set_name();
    aio_cb block = with(message_, on(socket.get(), nullptr, 0));
    return aio_sendmsg(&block, 0);
  }
  int connect(const Socket& socket) { return sio_connect(socket.get(), to_.get(), to_.size()); }
  static int join(const Socket& socket) {
    const ip_mreq wish{{htonl(0xefff0801)}, {}};
    return sio_setsockopt(socket.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &wish, sizeof wish);
  }

  static Socket make_bound(int flags = 0) {
    Socket socket = make_datagram_socket(flags, AF_INET);
    socket.bind(Address::self());
    return socket;
  }

  Address to_ = Address::self(7);
  char text_[2] = "x";
  iovec piece_{text_, 1};
  msghdr message_{};

 private:
  void set_name() {
    message_.msg_name = const_cast<sockaddr*>(to_.get());
    message_.msg_namelen = to_.size();
  }
};

TEST_F(ErrorsOfAddresses, OfTheirOwnAreTheKernels) {
  const auto without = [&](int error, auto call) {
    std::optional<Socket> fresh = make_datagram_socket(0, AF_INET);
    plan().next_address.set(error);
    const int result = call(*fresh);
    const int found = errno;
    fresh.reset();  // which leaves what it likes there
    errno = found;
    return result;
  };
  const auto to_address = [&](const Socket& socket) { return sendto(socket); };
  const auto message = [&](const Socket& socket) { return sendmsg(socket); };
  const auto queue = [&](const Socket& socket) { return request(socket); };
  const auto dial = [&](const Socket& socket) { return connect(socket); };
  const auto member = [](const Socket& socket) { return join(socket); };
  expect_errors({
      {"sendto", [&] { return without(EADDRINUSE, to_address); }, EADDRINUSE},
      {"sendto", [&] { return without(EADDRNOTAVAIL, to_address); }, EADDRNOTAVAIL},
      {"sendto", [&] { return without(EMFILE, to_address); }, EMFILE},
      {"sendto", [&] { return without(ENFILE, to_address); }, ENFILE},
      {"sendmsg", [&] { return without(EADDRINUSE, message); }, EADDRINUSE},
      {"sendmsg", [&] { return without(EADDRNOTAVAIL, message); }, EADDRNOTAVAIL},
      {"sendmsg", [&] { return without(EMFILE, message); }, EMFILE},
      {"sendmsg", [&] { return without(ENFILE, message); }, ENFILE},
      {"aio_sendmsg", [&] { return without(EADDRINUSE, queue); }, EADDRINUSE},
      {"aio_sendmsg", [&] { return without(EADDRNOTAVAIL, queue); }, EADDRNOTAVAIL},
      {"connect", [&] { return without(EADDRINUSE, dial); }, EADDRINUSE},
      {"setsockopt", [&] { return without(EMFILE, member); }, EMFILE},
      {"setsockopt", [&] { return without(ENFILE, member); }, ENFILE},
      {"setsockopt", [&] { return without(ENOMEM, member); }, ENOMEM},
  });
}

TEST_F(ErrorsOfAddresses, OfGroupsThatThereAreNotAreEopnotsupp) {
  const Socket socket = make_bound();
  to_ = Address("239.255.8.1", 7);
  const auto without = [&](auto call) {
    plan().next_address.set(EOPNOTSUPP);
    return call();
  };
  expect_errors({
      {"sendto", [&] { return without([&] { return sendto(socket); }); }, EOPNOTSUPP},
      {"sendmsg", [&] { return without([&] { return sendmsg(socket); }); }, EOPNOTSUPP},
      {"aio_sendmsg", [&] { return without([&] { return request(socket); }); }, EOPNOTSUPP},
      {"connect", [&] { return without([&] { return connect(socket); }); }, EOPNOTSUPP},
      {"setsockopt", [&] { return without([&] { return join(socket); }); }, EOPNOTSUPP},
  });
}

TEST_F(ErrorsOfAddresses, OfGroupsThatCanNotBeJoined) {
  Socket socket = make_bound();
  socket.set(SIO_CONNECT_TIMEOUT, 20);
  const auto where_none_leads = [&] {
    plan().next_address.set(ENETUNREACH);
    return join(socket);
  };
  const auto unheard = [&] {
    plan().next_join.set(1);
    return join(socket);
  };
  expect_errors({
      {"setsockopt", where_none_leads, EHOSTUNREACH},
      {"setsockopt", unheard, ETIMEDOUT},
  });
  EXPECT_EQ(join(socket), 0);
}

TEST_F(ErrorsOfAddresses, ThatAreFoundOutLateAreToldByFlush) {
  const Socket socket = make_bound();
  const auto flush = [&](int fault) {
    plan().next_connect.set(fault);
    to_ = Address::self(static_cast<uint16_t>(to_.port() + 1));  // not asked for yet
    EXPECT_EQ(try_send_to(socket, to_, "x", 1, MSG_DONTWAIT), 0);
    return sio_flush(socket.get(), nullptr);
  };
  expect_errors({
      {"none leads there", [&] { return flush(ENETUNREACH); }, EHOSTUNREACH},
      {"no descriptor to ask with", [&] { return flush(EMFILE); }, ENOMEM},
  });
}

// It is asked for again every 10 s.
TEST_F(ErrorsOfAddresses, OfAPeerThatCanNotBeReachedAnyMore) {
  const Socket far = make_bound();
  const auto make_connected = [&] {
    Socket socket = make_datagram_socket(0, AF_INET);
    socket.connect(far.name());
    return socket;
  };
  const Socket sockets[] = {make_connected(), make_connected(), make_connected(), make_connected()};
  plan().all_connects = ENETUNREACH;
  const auto send = [](int fd) { return sio_send(fd, "x", 1, 0); };
  const auto until = [&](int i, auto call) {
    return until_it_fails([&] { return call(sockets[i].get()); });
  };
  expect_errors({
      {"send", [&] { return until(0, send); }, EHOSTUNREACH},
      {"aio_send", [&] { return until(1, send_by_request); }, EHOSTUNREACH},
      {"aio_write_ec", [&] { return until(2, write_by_request); }, EHOSTUNREACH},
      {"aio_sendmsg", [&] { return until(3, sendmsg_by_request); }, EHOSTUNREACH},
  });
}

TEST_F(ErrorsOfAddresses, OfASocketThatHasEndedAreEpipe) {
  const Socket socket = make_bound();
  plan().tell(FaultPlan::Kind::kDeviceGone, ENODEV);
  ASSERT_TRUE(eventually([&] { return (socket.ready() & EPOLLHUP) != 0; }));
  expect_errors({
      {"connect", [&] { return connect(socket); }, EPIPE},
      {"setsockopt", [&] { return join(socket); }, EPIPE},
  });
}

}  // namespace
}  // namespace sio::test
