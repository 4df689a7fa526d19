// SPDX-License-Identifier: BSD-2-Clause
//
// Every call of <sio/sio.h> with wrong handles, sizes, states and NULLs. (Failures that take a
// peer to provoke are in connect_test.cc, accept_test.cc and death_test.cc.)
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include <cerrno>

#include "conformance/fixtures.h"
#include "conformance/lines.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

using MisuseOfSockets = DeviceTest;

TEST_F(MisuseOfSockets, Make) {
  expect_errors({
      {"AF_UNIX", [] { return sio_socket(AF_UNIX, SOCK_SEQPACKET, 0); }, EAFNOSUPPORT},
      {"no domain", [] { return sio_socket(AF_UNSPEC, SOCK_SEQPACKET, 0); }, EAFNOSUPPORT},
      {"a raw socket", [] { return sio_socket(AF_INET, SOCK_RAW, 0); }, ESOCKTNOSUPPORT},
      {"no type", [] { return sio_socket(AF_INET, 0, 0); }, ESOCKTNOSUPPORT},
      {"TCP", [] { return sio_socket(AF_INET, SOCK_SEQPACKET, 6); }, EPROTONOSUPPORT},
      {"a bit", [] { return sio_socket(AF_INET, SOCK_SEQPACKET | 1 << 20, 0); }, EINVAL},
  });
  rlimit before{};
  must(getrlimit(RLIMIT_NOFILE, &before), "getrlimit");
  const rlimit none{3, before.rlim_max};
  must(setrlimit(RLIMIT_NOFILE, &none), "setrlimit");
  const int result = sio_socket(AF_INET, SOCK_SEQPACKET, 0);
  const int error = errno;
  must(setrlimit(RLIMIT_NOFILE, &before), "setrlimit");
  EXPECT_EQ(result, -1);
  EXPECT_EQ(error, EMFILE);
}

TEST_F(MisuseOfSockets, TheDescriptorIsCloseOnExec) {
  const Socket socket = Socket::make();
  EXPECT_NE(fcntl(socket.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(MisuseOfSockets, WrongHandles) {
  const Fd plain(must(eventfd(0, EFD_CLOEXEC), "eventfd"));
  const Address self = Address::self();
  sockaddr_storage storage;
  auto* const name = reinterpret_cast<sockaddr*>(&storage);
  socklen_t size = sizeof storage;
  void* data;
  int value = 0;
  Socket socket = Socket::make();
  const int gone = socket.get();
  socket.close();
  const Channel channel;
  for (const int fd : {-1, 1 << 29, plain.get(), gone, channel.get()}) {
    SCOPED_TRACE(fd);
    expect_errors({
        {"bind", [&] { return sio_bind(fd, self.get(), self.size()); }, EBADF},
        {"listen", [&] { return sio_listen(fd, 1); }, EBADF},
        {"accept", [&] { return sio_accept(fd, nullptr, nullptr); }, EBADF},
        {"accept4", [&] { return sio_accept4(fd, nullptr, nullptr, 0); }, EBADF},
        {"connect", [&] { return sio_connect(fd, self.get(), self.size()); }, EBADF},
        {"shutdown", [&] { return sio_shutdown(fd, SHUT_WR); }, EBADF},
        {"close", [&] { return sio_close(fd); }, EBADF},
        {"getsockname", [&] { return sio_getsockname(fd, name, &size); }, EBADF},
        {"getpeername", [&] { return sio_getpeername(fd, name, &size); }, EBADF},
        {"getsockopt", [&] { return sio_getsockopt(fd, SOL_SIO, SIO_SPIN_US, &value, &size); },
         EBADF},
        {"setsockopt", [&] { return sio_setsockopt(fd, SOL_SIO, SIO_SPIN_US, &value, 4); }, EBADF},
        {"nonblock", [&] { return sio_nonblock(fd, 1); }, EBADF},
        {"send", [&] { return sio_send(fd, "x", 1, 0); }, EBADF},
        {"recv", [&] { return sio_recv(fd, &data, 1, 0); }, EBADF},
        {"flush", [&] { return sio_flush(fd, nullptr); }, EBADF},
    });
  }
}

TEST_F(MisuseOfSockets, Bind) {
  const Address self = Address::self();
  const Address elsewhere("192.0.2.1", 0);  // TEST-NET-1
  const Address v6("::1", 0);
  const Socket v4 = Socket::make(0, AF_INET);
  const int fd = v4.get();
  expect_errors({
      {"NULL", [&] { return sio_bind(fd, nullptr, self.size()); }, EINVAL},
      {"too short", [&] { return sio_bind(fd, self.get(), 4); }, EINVAL},
      {"no length", [&] { return sio_bind(fd, self.get(), 0); }, EINVAL},
      {"IPv6", [&] { return sio_bind(fd, v6.get(), v6.size()); }, EAFNOSUPPORT},
      {"not here", [&] { return sio_bind(fd, elsewhere.get(), elsewhere.size()); }, EADDRNOTAVAIL},
  });
  Socket bound = Socket::make();
  bound.bind(self);
  const Address taken = bound.name();
  Socket other = Socket::make();
  expect_errors({
      {"twice", [&] { return sio_bind(bound.get(), self.get(), self.size()); }, EINVAL},
      {"taken", [&] { return sio_bind(other.get(), taken.get(), taken.size()); }, EADDRINUSE},
  });
  const Address everywhere = Address("0.0.0.0", taken.port());
  expect_errors({
      {"taken on an address",
       [&] { return sio_bind(other.get(), everywhere.get(), everywhere.size()); }, EADDRINUSE},
  });
  bound.close();
  other.bind(everywhere);
  Socket third = Socket::make();
  expect_errors({
      {"taken on all", [&] { return sio_bind(third.get(), taken.get(), taken.size()); },
       EADDRINUSE},
  });
  const Pair pair = make_pair();
  expect_errors({
      {"connected", [&] { return sio_bind(pair.near.get(), self.get(), self.size()); }, EISCONN},
      {"accepted", [&] { return sio_bind(pair.far.get(), self.get(), self.size()); }, EISCONN},
  });
}

TEST_F(MisuseOfSockets, BindToNoDevicesAddress) {
  const Address loopback("127.0.0.1", 0);
  const Address nobodys("192.0.2.1", 0);
  const Socket socket = Socket::make(0, AF_INET);
  const auto bind = [&](const Address& to) { return sio_bind(socket.get(), to.get(), to.size()); };
  expect_errors({{"of documents", [&] { return bind(nobodys); }, EADDRNOTAVAIL}});
  if (on_soft()) GTEST_SKIP() << "the soft provider has all addresses of this host";
  expect_errors({{"loopback", [&] { return bind(loopback); }, EADDRNOTAVAIL}});
}

TEST_F(MisuseOfSockets, Listen) {
  Socket one = Socket::make();
  Socket other = Socket::make();
  const int on = 1;
  for (const Socket* socket : {&one, &other}) {
    must(sio_setsockopt(socket->get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
  }
  one.bind(Address::self());
  other.bind(one.name());  // both may have the address, but neither may listen then
  if (on_soft()) {         // TCP minds only when the second listens
    one.listen();
    expect_errors({{"taken", [&] { return sio_listen(other.get(), 1); }, EADDRINUSE}});
  } else {
    expect_errors({{"taken", [&] { return sio_listen(other.get(), 1); }, EADDRINUSE}});
    other.close();
    one.listen();
  }
  other.close();
  one.listen(3);  // the backlog may be changed
  Socket connecting = Socket::make(SOCK_NONBLOCK);
  EXPECT_EQ(connecting.try_connect(one.name()), EINPROGRESS);
  const Pair pair = make_pair();
  expect_errors({
      {"connecting", [&] { return sio_listen(connecting.get(), 1); }, EISCONN},
      {"connected", [&] { return sio_listen(pair.near.get(), 1); }, EISCONN},
  });
}

TEST_F(MisuseOfSockets, ListenWithoutBindingGivesAPort) {
  Socket listener = Socket::make();
  listener.listen(0);  // at least one may wait
  EXPECT_NE(listener.name().port(), 0);
}

TEST_F(MisuseOfSockets, Accept) {
  Socket fresh = Socket::make();
  Socket listener = Socket::make(SOCK_NONBLOCK);
  listener.bind(Address::self()).listen();
  const Pair pair = make_pair();
  const int fd = listener.get();
  const auto accept_ec = [&](ec_t ec) {
    return sio_accept_ec(fd, nullptr, nullptr, 0, ec, nullptr);
  };
  sockaddr_storage name;
  auto* const address = reinterpret_cast<sockaddr*>(&name);
  expect_errors({
      {"none waits", [&] { return sio_accept(fd, nullptr, nullptr); }, EAGAIN},
      {"not listening", [&] { return sio_accept(fresh.get(), nullptr, nullptr); }, EINVAL},
      {"connected", [&] { return sio_accept(pair.far.get(), nullptr, nullptr); }, EINVAL},
      {"a flag", [&] { return sio_accept4(fd, nullptr, nullptr, 1); }, EINVAL},
      {"a flag", [&] { return sio_accept_ec(fd, nullptr, nullptr, 1, -1, nullptr); }, EINVAL},
      {"no channel", [&] { return accept_ec(-1); }, EBADF},
      {"a socket", [&] { return accept_ec(pair.far.get()); }, EBADF},
      {"an address without a length", [&] { return sio_accept(fd, address, nullptr); }, EINVAL},
  });
}

TEST_F(MisuseOfSockets, Connect) {
  const Address self = Address::self(1);
  const Address v6("::1", 1);
  const Socket v4 = Socket::make(0, AF_INET);
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  const Pair pair = make_pair();
  const int fd = v4.get();
  const auto again = [&](const Socket& s) { return sio_connect(s.get(), self.get(), self.size()); };
  expect_errors({
      {"NULL", [&] { return sio_connect(fd, nullptr, self.size()); }, EINVAL},
      {"too short", [&] { return sio_connect(fd, self.get(), 4); }, EINVAL},
      {"IPv6", [&] { return sio_connect(fd, v6.get(), v6.size()); }, EAFNOSUPPORT},
      {"listening", [&] { return again(listener); }, EOPNOTSUPP},
      {"connected", [&] { return again(pair.near); }, EISCONN},
      {"accepted", [&] { return again(pair.far); }, EISCONN},
  });
}

TEST_F(MisuseOfSockets, ShutdownAndNames) {
  sockaddr_storage storage;
  auto* const name = reinterpret_cast<sockaddr*>(&storage);
  socklen_t size = sizeof storage;
  const Socket fresh = Socket::make();
  const Pair pair = make_pair();
  const int fd = pair.near.get();
  expect_errors({
      {"shutdown: fresh", [&] { return sio_shutdown(fresh.get(), SHUT_WR); }, ENOTCONN},
      {"shutdown: how", [&] { return sio_shutdown(fd, 3); }, EINVAL},
      {"shutdown: how", [&] { return sio_shutdown(fd, -1); }, EINVAL},
      {"name: NULL", [&] { return sio_getsockname(fd, nullptr, &size); }, EINVAL},
      {"name: no length", [&] { return sio_getsockname(fd, name, nullptr); }, EINVAL},
      {"peer: NULL", [&] { return sio_getpeername(fd, nullptr, &size); }, EINVAL},
      {"peer: no length", [&] { return sio_getpeername(fd, name, nullptr); }, EINVAL},
      {"peer: none", [&] { return sio_getpeername(fresh.get(), name, &size); }, ENOTCONN},
      {"nonblock", [&] { return sio_nonblock(fd, 2); }, EINVAL},
      {"nonblock", [&] { return sio_nonblock(fd, -2); }, EINVAL},
  });
  EXPECT_EQ(sio_nonblock(fd, -1), 0);
  EXPECT_EQ(sio_nonblock(fd, 1), 0);
  EXPECT_EQ(sio_nonblock(fd, -1), 1);
}

TEST_F(MisuseOfSockets, Send) {
  const Area area(size_t{1} << 20);
  const Area stranger(4096);
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Socket near = Socket::make(SOCK_NONBLOCK);
  near.associate(area, 0, size_t{68} * 8192);
  const int fd = near.get();
  expect_errors({{"fresh", [&] { return sio_send(fd, "x", 1, 0); }, ENOTCONN},
                 {"listening", [&] { return sio_send(listener.get(), "x", 1, 0); }, ENOTCONN}});
  EXPECT_EQ(near.try_connect(listener.name()), EINPROGRESS);
  Socket far = listener.accept();
  EXPECT_TRUE(eventually([&] { return (near.ready() & EPOLLOUT) != 0; }));
  const Message block = Message::reserve(area, 1000);
  const Message other = Message::reserve(stranger, 2000);
  char* const freed = Message::reserve(area, 1000).data();
  char* const posted = static_cast<char*>(accounts(area.get()).base);
  const std::vector<char> plain(9000);
  char* const data = block.data();
  expect_errors({
      {"a flag", [&] { return sio_send(fd, "x", 1, MSG_OOB); }, EINVAL},
      {"NULL with a size", [&] { return sio_send(fd, nullptr, 1, 0); }, EINVAL},
      {"more than a slot", [&] { return sio_send(fd, plain.data(), 8193, 0); }, EMSGSIZE},
      {"SIZE_MAX", [&] { return sio_send(fd, plain.data(), SIZE_MAX, 0); }, EMSGSIZE},
      {"no area", [&] { return sio_send(fd, plain.data(), 1025, 0); }, EFAULT},
      {"not its area", [&] { return sio_send(fd, other.data(), 2000, 0); }, EFAULT},
      {"freed", [&] { return sio_send(fd, freed, 1000, 0); }, EFAULT},
      {"receive memory", [&] { return sio_send(fd, posted, 100, 0); }, EFAULT},
      {"beyond the block", [&] { return sio_send(fd, data, 1001, 0); }, EFAULT},
      {"before the block", [&] { return sio_send(fd, data - 1, 10, 0); }, EFAULT},
      {"not all of it", [&] { return sio_send(fd, data, 999, SIO_RELEASE); }, EINVAL},
      {"its inside", [&] { return sio_send(fd, data + 1, 999, SIO_RELEASE); }, EINVAL},
      {"plain memory", [&] { return sio_send(fd, plain.data(), 10, SIO_RELEASE); }, EINVAL},
  });
  EXPECT_EQ(accounts(area.get()).in_flight, 0u) << "a call that fails leaves ownership as it was";
  must(sio_shutdown(fd, SHUT_WR), "sio_shutdown");
  expect_errors({{"shut down", [&] { return sio_send(fd, "x", 1, 0); }, EPIPE}});
}

TEST_F(MisuseOfSockets, RecvAndFlush) {
  void* data;
  const Channel channel;
  const Socket fresh = Socket::make();
  const Pair pair = make_pair();
  const Pair joined = make_pair(&channel, &channel);
  const int fd = pair.near.get();
  timespec zero{};
  timespec bad{0, 1'000'000'000};
  timespec negative{-1, 0};
  expect_errors({
      {"fresh", [&] { return sio_recv(fresh.get(), &data, 1, 0); }, ENOTCONN},
      {"NULL", [&] { return sio_recv(fd, nullptr, 1, 0); }, EINVAL},
      {"a flag", [&] { return sio_recv(fd, &data, 1, MSG_OOB); }, EINVAL},
      {"delivers", [&] { return sio_recv(joined.near.get(), &data, 1, 0); }, EINVAL},
      {"nothing", [&] { return sio_recv(fd, &data, 1, MSG_DONTWAIT); }, EAGAIN},
      {"flush: fresh", [&] { return sio_flush(fresh.get(), &zero); }, ENOTCONN},
      {"flush: time", [&] { return sio_flush(fd, &bad); }, EINVAL},
      {"flush: time", [&] { return sio_flush(fd, &negative); }, EINVAL},
  });
  const Interrupter interrupter;
  expect_errors({{"a signal", [&] { return sio_recv(fd, &data, 1, 0); }, EINTR}});
}

TEST_F(MisuseOfSockets, SendAndFlushThatWait) {
  Pair pair = make_pair();
  Socket& near = pair.near;
  near.set_linger(0);
  std::vector<char> text(500);
  timespec zero{};
  EXPECT_EQ(sio_flush(near.get(), nullptr), 0) << "nothing was sent";
  timespec limit = to_timespec(milliseconds(50));
  // First what is under way is in the way, then the peer's slots are full.
  ASSERT_TRUE(eventually([&] {
    const bool full = near.info().credits == 0;
    while (near.try_send(text.data(), text.size(), MSG_DONTWAIT) == 0) {
    }
    EXPECT_EQ(errno, EAGAIN);
    sio_flush(near.get(), &limit);
    return full;
  }));
  const auto start = Clock::now();
  expect_errors({{"too long", [&] { return sio_flush(near.get(), &limit); }, ETIMEDOUT}});
  EXPECT_GE(since(start), milliseconds(50));
  expect_errors({{"not yet", [&] { return sio_flush(near.get(), &zero); }, EAGAIN}});
  const Interrupter interrupter;
  expect_errors({
      {"a signal", [&] { return sio_send(near.get(), text.data(), text.size(), 0); }, EINTR},
      {"a signal", [&] { return sio_flush(near.get(), nullptr); }, EINTR},
  });
}

}  // namespace
}  // namespace sio::test
