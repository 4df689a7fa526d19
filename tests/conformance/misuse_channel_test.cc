// SPDX-License-Identifier: BSD-2-Clause
//
// Every call of <sio/ec.h> with wrong handles, sizes, states and NULLs.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include <cerrno>

#include "conformance/fixtures.h"
#include "conformance/lines.h"

namespace sio::test {
namespace {

using MisuseOfChannels = PlainTest;
using MisuseOfSocketsInChannels = DeviceTest;

TEST_F(MisuseOfChannels, Create) {
  expect_errors({
      {"an unknown flag", [] { return ec_create(2); }, EINVAL},
      {"a signal, without a ring", [] { return ec_create(EC_OVERFLOW_SIGNAL(10)); }, EINVAL},
  });
  rlimit before{};
  must(getrlimit(RLIMIT_NOFILE, &before), "getrlimit");
  const rlimit none{3, before.rlim_max};
  must(setrlimit(RLIMIT_NOFILE, &none), "setrlimit");
  const int result = ec_create(0);
  const int error = errno;
  must(setrlimit(RLIMIT_NOFILE, &before), "setrlimit");
  EXPECT_EQ(result, -1);
  EXPECT_EQ(error, EMFILE);
}

TEST_F(MisuseOfChannels, CreateRing) {
  std::vector<event_data_t> ring(4);
  event_data_t* const at = ring.data();
  expect_errors({
      {"NULL", [&] { return ec_create_ring(0, nullptr, 4); }, EINVAL},
      {"no entries", [&] { return ec_create_ring(0, at, 0); }, EINVAL},
      {"one entry", [&] { return ec_create_ring(0, at, 1); }, EINVAL},
      {"no power of two", [&] { return ec_create_ring(0, at, 3); }, EINVAL},
      {"too many", [&] { return ec_create_ring(0, at, size_t{1} << 25); }, EINVAL},
      {"an unknown flag", [&] { return ec_create_ring(4, at, 4); }, EINVAL},
      {"an unknown high flag", [&] { return ec_create_ring(1u << 20, at, 4); }, EINVAL},
  });
}

TEST_F(MisuseOfChannels, WrongHandles) {
  event_data_t event;
  timespec zero{};
  const Fd plain(must(eventfd(0, EFD_CLOEXEC), "eventfd"));
  ec_t gone;
  {
    const Channel channel;
    gone = channel.get();
  }
  for (const ec_t ec : {-1, 1 << 29, plain.get(), gone}) {
    SCOPED_TRACE(ec);
    expect_errors({
        {"ec_destroy", [&] { return ec_destroy(ec); }, EBADF},
        {"ec_next_event", [&] { return ec_next_event(ec, &event); }, EBADF},
        {"ec_next_events", [&] { return ec_next_events(ec, &event, 1); }, EBADF},
        {"ec_to_fd", [&] { return ec_to_fd(ec); }, EBADF},
        {"ec_delay", [&] { return ec_delay(ec, &zero); }, EBADF},
        {"ec_add_fd", [&] { return ec_add_fd(ec, plain.get(), EPOLLIN, nullptr); }, EBADF},
        {"ec_mod_fd", [&] { return ec_mod_fd(ec, plain.get(), EPOLLIN, nullptr); }, EBADF},
        {"ec_del_fd", [&] { return ec_del_fd(ec, plain.get()); }, EBADF},
        {"ec_post", [&] { return ec_post(ec, 0, nullptr); }, EBADF},
    });
  }
}

TEST_F(MisuseOfChannels, WrongArguments) {
  const Channel channel;
  const ec_t ec = channel.get();
  event_data_t events[2];
  timespec too_many_ns{0, 1'000'000'000};
  timespec negative_ns{0, -1};
  timespec negative{-1, 0};
  expect_errors({
      {"no event", [&] { return ec_next_event(ec, nullptr); }, EINVAL},
      {"no events", [&] { return ec_next_events(ec, nullptr, 1); }, EINVAL},
      {"none of them", [&] { return ec_next_events(ec, events, 0); }, EINVAL},
      {"fewer than none", [&] { return ec_next_events(ec, events, -1); }, EINVAL},
      {"too many ns", [&] { return ec_delay(ec, &too_many_ns); }, EINVAL},
      {"negative ns", [&] { return ec_delay(ec, &negative_ns); }, EINVAL},
      {"negative s", [&] { return ec_delay(ec, &negative); }, EINVAL},
  });
}

TEST_F(MisuseOfChannels, Descriptors) {
  const Channel channel;
  const ec_t ec = channel.get();
  const Fd counter(must(eventfd(0, EFD_CLOEXEC), "eventfd"));
  const Fd file(must(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "open"));
  const int fd = counter.get();
  expect_errors({
      {"no descriptor", [&] { return ec_add_fd(ec, -1, EPOLLIN, nullptr); }, EBADF},
      {"a closed one", [&] { return ec_add_fd(ec, 1 << 20, EPOLLIN, nullptr); }, EBADF},
      {"no bit", [&] { return ec_add_fd(ec, fd, 0, nullptr); }, EINVAL},
      {"an unknown bit", [&] { return ec_add_fd(ec, fd, EPOLLIN | 1u << 25, nullptr); }, EINVAL},
      {"the channel itself", [&] { return ec_add_fd(ec, ec, EPOLLIN, nullptr); }, EINVAL},
      {"a regular file", [&] { return ec_add_fd(ec, file.get(), EPOLLIN, nullptr); }, EPERM},
      {"mod: not in it", [&] { return ec_mod_fd(ec, fd, EPOLLIN, nullptr); }, ENOENT},
      {"del: not in it", [&] { return ec_del_fd(ec, fd); }, ENOENT},
      {"mod: no descriptor", [&] { return ec_mod_fd(ec, -1, EPOLLIN, nullptr); }, EBADF},
  });
  must(ec_add_fd(ec, fd, EPOLLIN, nullptr), "ec_add_fd");
  expect_errors({
      {"twice", [&] { return ec_add_fd(ec, fd, EPOLLIN, nullptr); }, EEXIST},
      {"mod: no bit", [&] { return ec_mod_fd(ec, fd, 0, nullptr); }, EINVAL},
      {"mod: an unknown bit", [&] { return ec_mod_fd(ec, fd, 1u << 25, nullptr); }, EINVAL},
  });
}

TEST_F(MisuseOfChannels, InACircle) {
  const Channel one;
  const Channel other;
  must(ec_add_fd(one.get(), other.get(), EPOLLIN, nullptr), "ec_add_fd");
  expect_errors(
      {{"a circle", [&] { return ec_add_fd(other.get(), one.get(), EPOLLIN, nullptr); }, ELOOP}});
}

TEST_F(MisuseOfSocketsInChannels, Add) {
  const Channel channel;
  const Channel other;
  const ec_t ec = channel.get();
  Socket socket = Socket::make();
  const int fd = socket.get();
  expect_errors({
      {"no bit", [&] { return ec_add_fd(ec, fd, 0, nullptr); }, EINVAL},
      {"not a socket's bit", [&] { return ec_add_fd(ec, fd, EPOLLOUT, nullptr); }, EINVAL},
      {"an unknown bit", [&] { return ec_add_fd(ec, fd, EC_DELIVER | 1u << 25, nullptr); }, EINVAL},
      {"mod: not in it", [&] { return ec_mod_fd(ec, fd, EC_DELIVER, nullptr); }, ENOENT},
      {"del: not in it", [&] { return ec_del_fd(ec, fd); }, ENOENT},
  });
  socket.join(channel);
  expect_errors({
      {"twice", [&] { return ec_add_fd(ec, fd, EC_DELIVER, nullptr); }, EEXIST},
      {"two channels", [&] { return ec_add_fd(other.get(), fd, EC_DELIVER, nullptr); }, EISCONN},
      {"mod: other bits", [&] { return ec_mod_fd(ec, fd, EPOLLIN, nullptr); }, EINVAL},
      {"del: of another", [&] { return ec_del_fd(other.get(), fd); }, ENOENT},
      {"destroy", [&] { return ec_destroy(ec); }, EBUSY},
  });
  must(ec_del_fd(ec, fd), "ec_del_fd");
  socket.join(other, EPOLLIN);
}

TEST_F(MisuseOfSocketsInChannels, AddTooLate) {
  const Channel channel;
  const Channel other;
  const ec_t ec = other.get();
  Socket listener = Socket::make();
  listener.join(channel).bind(Address::self()).listen();
  Socket alone = Socket::make();
  alone.bind(Address::self()).listen();
  Socket connecting = Socket::make(SOCK_NONBLOCK);
  EXPECT_EQ(connecting.try_connect(alone.name()), EINPROGRESS);
  const Pair pair = make_pair();
  const Pair joined = make_pair(&channel, &channel);
  expect_errors({
      {"listening", [&] { return ec_add_fd(ec, alone.get(), EPOLLIN, nullptr); }, EISCONN},
      {"connecting", [&] { return ec_add_fd(ec, connecting.get(), EPOLLIN, nullptr); }, EISCONN},
      {"connected", [&] { return ec_add_fd(ec, pair.near.get(), EPOLLIN, nullptr); }, EISCONN},
      {"accepted", [&] { return ec_add_fd(ec, pair.far.get(), EPOLLIN, nullptr); }, EISCONN},
      {"del: listening", [&] { return ec_del_fd(channel.get(), listener.get()); }, EISCONN},
      {"del: connected", [&] { return ec_del_fd(channel.get(), joined.near.get()); }, EISCONN},
  });
  int cookie = 0;
  must(ec_mod_fd(channel.get(), joined.far.get(), EC_DELIVER, &cookie), "ec_mod_fd");
  must(sio_send(joined.near.get(), "x", 1, 0), "sio_send");
  EXPECT_EQ(channel.skip_to(EC_RECV).cookie, &cookie);
}

TEST_F(MisuseOfSocketsInChannels, DestroyDropsWhatWasNotTakenAndGivesItBack) {
  Area area(size_t{1} << 20);
  {
    Channel channel;
    Socket listener = Socket::make();
    listener.associate(area).bind(Address::self()).listen();
    Socket near = Socket::make(SOCK_NONBLOCK);
    EXPECT_EQ(near.try_connect(listener.name()), EINPROGRESS);
    Socket far(must(sio_accept_ec(listener.get(), nullptr, nullptr, 0, channel.get(), nullptr),
                    "sio_accept_ec"));
    EXPECT_TRUE(eventually([&] { return (near.ready() & EPOLLOUT) != 0; }));
    for (int i = 0; i < 20; ++i) near.send("never taken");
    timespec limit = to_timespec(kSoon);
    EXPECT_EQ(ec_delay(channel.get(), &limit), 0);
  }
  EXPECT_TRUE(eventually([&] { return accounts(area.get()).free == area.bytes(); }));
}

}  // namespace
}  // namespace sio::test
