// SPDX-License-Identifier: BSD-2-Clause
//
// sio_getsockopt and sio_setsockopt: values, ranges, and until when they can be set.
#include <cerrno>

#include "conformance/fixtures.h"

namespace sio::test {
namespace {

using OptionsTest = DeviceTest;

struct Option {
  const char* name;
  int option;
  std::vector<int> good;
  std::vector<int> bad;
  bool before;  // connect or listen only
};

const std::vector<Option>& numbers() {
  static const std::vector<Option> table = {
      {"SIO_SLOT_SIZE", SIO_SLOT_SIZE, {256, 8192, 320, 65536}, {0, -64, 192, 257, 65600}, true},
      {"SIO_RECV_SLOTS", SIO_RECV_SLOTS, {2, 3, 64, 4096}, {0, 1, -1, 4097}, true},
      {"SIO_COPY_MAX", SIO_COPY_MAX, {0, 1, 8192}, {-1, 8193}, false},
      {"SIO_SPIN_US", SIO_SPIN_US, {0, 1, 1'000'000}, {-1, 1'000'001}, false},
      {"SIO_KEEPALIVE_MS", SIO_KEEPALIVE_MS, {0, 1, 5000}, {-1}, false},
      {"SIO_CONNECT_TIMEOUT", SIO_CONNECT_TIMEOUT, {1, 600'000}, {0, -1, 600'001}, false},
      {"SIO_SEND_QUOTA", SIO_SEND_QUOTA, {4, 5, 4096}, {0, 3, -1, 4097}, true},
      {"SIO_NODELAY", SIO_NODELAY, {0, 1}, {}, false},
  };
  return table;
}

int set(const Socket& socket, int option, int value) {
  return sio_setsockopt(socket.get(), SOL_SIO, option, &value, sizeof value);
}

TEST_F(OptionsTest, KeepTheValuesTheyAreGiven) {
  const Socket socket = Socket::make();
  for (const auto& [name, option, good, bad, before] : numbers()) {
    SCOPED_TRACE(name);
    for (const int value : good) {
      EXPECT_EQ(set(socket, option, value), 0) << value;
      EXPECT_EQ(socket.get_option<int>(option), value);
    }
    for (const int value : bad) {
      EXPECT_EQ(set(socket, option, value), -1) << value;
      EXPECT_EQ(errno, EINVAL) << value;
      EXPECT_EQ(socket.get_option<int>(option), good.back());
    }
  }
}

TEST_F(OptionsTest, AreSettableOnceConnectedOrNot) {
  const Pair pair = make_pair();
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  for (const auto& [name, option, good, bad, before] : numbers()) {
    SCOPED_TRACE(name);
    for (const Socket* socket : {&pair.near, &pair.far, static_cast<const Socket*>(&listener)}) {
      errno = 0;
      EXPECT_EQ(set(*socket, option, good.front()), before ? -1 : 0);
      EXPECT_EQ(errno, before ? EISCONN : 0);
    }
  }
}

TEST_F(OptionsTest, HaveTheirDefaults) {
  const Socket socket = Socket::make();
  EXPECT_EQ(socket.get_option<int>(SIO_SLOT_SIZE), 8192);
  EXPECT_EQ(socket.get_option<int>(SIO_RECV_SLOTS), 64);
  EXPECT_EQ(socket.get_option<int>(SIO_COPY_MAX), 1024);
  EXPECT_EQ(socket.get_option<int>(SIO_CONNECT_TIMEOUT), 5000);
  EXPECT_EQ(socket.get_option<int>(SIO_NODELAY), 0);
  EXPECT_EQ(socket.get_option<dma_mem_t>(SIO_AREA), nullptr);
  EXPECT_EQ(socket.get_option<uint64_t>(SIO_MAX_MESSAGE), 8192u);
}

TEST_F(OptionsTest, AreRefusedWhenTheyDoNotFit) {
  const Socket socket = Socket::make();
  const int fd = socket.get();
  int64_t value = 1;
  socklen_t size = sizeof(int);
  const auto get = [&](int level, int option) {
    return sio_getsockopt(fd, level, option, &value, &size);
  };
  const auto put = [&](int level, int option, socklen_t length) {
    return sio_setsockopt(fd, level, option, &value, length);
  };
  expect_errors({
      {"get: no such level", [&] { return get(0x7777, 1); }, ENOPROTOOPT},
      {"get: no such option", [&] { return get(SOL_SIO, 999); }, ENOPROTOOPT},
      {"get: not ours", [&] { return get(SOL_SOCKET, SO_OOBINLINE); }, ENOPROTOOPT},
      {"get: NULL", [&] { return sio_getsockopt(fd, SOL_SIO, SIO_SPIN_US, nullptr, &size); },
       EINVAL},
      {"get: no length", [&] { return sio_getsockopt(fd, SOL_SIO, SIO_SPIN_US, &value, nullptr); },
       EINVAL},
      {"set: no such level", [&] { return put(0x7777, 1, 4); }, ENOPROTOOPT},
      {"set: no such option", [&] { return put(SOL_SIO, 999, 4); }, ENOPROTOOPT},
      {"set: SIO_INFO", [&] { return put(SOL_SIO, SIO_INFO, 4); }, ENOPROTOOPT},
      {"set: SIO_READY", [&] { return put(SOL_SIO, SIO_READY, 4); }, ENOPROTOOPT},
      {"set: SIO_AREA", [&] { return put(SOL_SIO, SIO_AREA, 8); }, ENOPROTOOPT},
      {"set: SIO_MAX_MESSAGE", [&] { return put(SOL_SIO, SIO_MAX_MESSAGE, 8); }, ENOPROTOOPT},
      {"set: SO_ERROR", [&] { return put(SOL_SOCKET, SO_ERROR, 4); }, ENOPROTOOPT},
      {"set: SO_TYPE", [&] { return put(SOL_SOCKET, SO_TYPE, 4); }, ENOPROTOOPT},
      {"set: NULL", [&] { return sio_setsockopt(fd, SOL_SIO, SIO_SPIN_US, nullptr, 4); }, EINVAL},
      {"set: too short", [&] { return put(SOL_SIO, SIO_SPIN_US, 2); }, EINVAL},
      {"set: no bytes", [&] { return put(SOL_SIO, SIO_SPIN_US, 0); }, EINVAL},
      {"set: SO_LINGER too short", [&] { return put(SOL_SOCKET, SO_LINGER, 4); }, EINVAL},
  });
}

TEST_F(OptionsTest, OfSolSocketSayWhatTheSocketIs) {
  Socket listener = Socket::make();
  const auto get = [](const Socket& socket, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    must(sio_getsockopt(socket.get(), SOL_SOCKET, option, &value, &size), "sio_getsockopt");
    EXPECT_EQ(size, sizeof value);
    return value;
  };
  EXPECT_EQ(get(listener, SO_TYPE), SOCK_SEQPACKET);
  EXPECT_EQ(get(listener, SO_DOMAIN), Address::self().family());
  EXPECT_EQ(get(listener, SO_PROTOCOL), 0);
  EXPECT_EQ(get(listener, SO_ACCEPTCONN), 0);
  EXPECT_EQ(get(listener, SO_REUSEADDR), 0);
  EXPECT_EQ(get(listener, SO_ERROR), 0);
  listener.bind(Address::self()).listen();
  EXPECT_EQ(get(listener, SO_ACCEPTCONN), 1);
  const linger wanted{1, 7};
  must(sio_setsockopt(listener.get(), SOL_SOCKET, SO_LINGER, &wanted, sizeof wanted), "SO_LINGER");
  linger got{};
  socklen_t size = sizeof got;
  must(sio_getsockopt(listener.get(), SOL_SOCKET, SO_LINGER, &got, &size), "SO_LINGER");
  EXPECT_EQ(got.l_onoff, 1);
  EXPECT_EQ(got.l_linger, 7);
}

}  // namespace
}  // namespace sio::test
