// SPDX-License-Identifier: BSD-2-Clause
//
// Sockets that come into channels and leave them, at awkward moments.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "conformance/denials.h"
#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

class WireMoves : public WireTest {
 protected:
  // Starts a connect to nobody, and waits until it has failed and the socket is as new.
  void fail_to_connect(Socket& socket) {
    Peer gone("mute");
    const Address nobody = gone.address();
    gone.kill();
    ASSERT_EQ(socket.try_connect(nobody), EINPROGRESS);
    ASSERT_TRUE(eventually([&] { return socket.take_error() != 0; }));
  }
  static int take_out(const Channel& channel, const Socket& socket) {
    int result = -1;
    eventually([&] { return (result = ec_del_fd(channel.get(), socket.get())) == 0; });
    return result;
  }
};

TEST_F(WireMoves, DropTheEventOfAConnectThatFailed) {
  const Channel channel;
  Socket socket = Socket::make(SOCK_NONBLOCK);
  socket.join(channel);
  fail_to_connect(socket);
  EXPECT_EQ(take_out(channel, socket), 0);
  EXPECT_FALSE(channel.try_next(milliseconds(100)));
}

// Out of a channel that it stays in, since there is no descriptor for a hidden one.
TEST_F(WireMoves, ThatFailKeepTheEventOfAConnectThatFailed) {
  const Channel channel;
  Socket socket = Socket::make(SOCK_NONBLOCK);
  socket.join(channel);
  fail_to_connect(socket);
  const Socket other = Socket::make();  // has what the hidden channel left
  expect_refusal(SYS_eventfd2, ENFILE, [&] {
    int result = -1;
    eventually([&] {
      result = ec_del_fd(channel.get(), socket.get());
      return result == 0 || errno != EISCONN;
    });
    return result;
  });
  EXPECT_EQ(channel.expect(EC_CONNECT).error, ECONNREFUSED);
  EXPECT_EQ(ec_del_fd(channel.get(), socket.get()), 0);
}

// What lent its buffer meanwhile is told of in the channel, or would be: nobody takes that any
// more, and the buffer is the program's.
TEST_F(WireMoves, GiveBackTheBuffersOfAConnectThatFailed) {
  Peer peer("mute");
  for (const bool full : {false, true}) {
    const Channel channel(0, 2);
    const Channel other;
    const Area area(size_t{1} << 16);
    Socket socket = Socket::make(SOCK_NONBLOCK);
    socket.set(SIO_CONNECT_TIMEOUT, 3000).join(channel).associate(area, DMA_SEND);
    while (full && channel.post(7).ok()) {
    }
    const Message block = Message::reserve(area, 64);
    ASSERT_EQ(socket.try_connect(peer.address()), EINPROGRESS);
    int error = EAGAIN;
    EXPECT_TRUE(eventually([&] { return (error = socket.try_send(block.data(), 64)) != EAGAIN; }));
    EXPECT_EQ(error, 0);
    EXPECT_EQ(accounts(area.get()).in_flight, 64u);
    EXPECT_TRUE(eventually([&] { return socket.take_error() == ETIMEDOUT; }));
    ASSERT_EQ(take_out(channel, socket), 0);
    EXPECT_EQ(accounts(area.get()).in_flight, 0u);
    EXPECT_EQ(socket.close(), 0);
  }
}

// It was to be asked of the socket how its connect ended, which nobody did.
TEST_F(WireMoves, IntoAChannelForgetAConnectThatFailedBefore) {
  const Channel channel;
  Socket socket = Socket::make(SOCK_NONBLOCK);
  Peer gone("mute");
  const Address nobody = gone.address();
  gone.kill();
  ASSERT_EQ(socket.try_connect(nobody), EINPROGRESS);
  ASSERT_TRUE(
      eventually([&] { return ec_add_fd(channel.get(), socket.get(), EC_DELIVER, nullptr) == 0; }));
  Peer peer("serve then=idle");
  EXPECT_EQ(socket.try_connect(peer.address()), EINPROGRESS);
  EXPECT_EQ(channel.expect(EC_CONNECT).error, 0);
}

TEST_F(WireMoves, OfDatagramSocketsTellAnewOfWhatIsReadable) {
  const Channel first;
  const Channel second;
  Socket socket = Socket::make(0, AF_UNSPEC, SOCK_DGRAM);
  socket.bind(Address::self());
  const auto send = [&] {  // who has found it before would look for it in its first channel
    const Socket sender = Socket::make(0, AF_UNSPEC, SOCK_DGRAM);
    EXPECT_EQ(sio_sendto(sender.get(), "x", 1, 0, socket.name().get(), socket.name().size()), 0);
  };
  socket.join(first, EPOLLIN);
  send();
  first.expect(EC_READABLE);
  ASSERT_EQ(ec_del_fd(first.get(), socket.get()), 0);
  socket.join(second, EPOLLIN);
  send();
  second.expect(EC_READABLE);
}

TEST_F(WireMoves, TakeAlongWhatWaitedForRoom) {
  const Channel full(0, 2);
  const Channel other;
  Peer peer("serve then=burst count=1 size=10");
  Socket socket = Socket::make(SOCK_NONBLOCK);
  socket.join(full);
  while (full.post(7).ok()) {
  }
  fail_to_connect(socket);
  EXPECT_EQ(take_out(full, socket), 0);
  int cookie;
  socket.join(other, EC_DELIVER, &cookie);
  EXPECT_EQ(socket.try_connect(peer.address()), EINPROGRESS);
  const event_data_t event = other.next();
  EXPECT_EQ(event.kind, uint32_t{EC_CONNECT});
  EXPECT_EQ(event.error, 0);
  EXPECT_EQ(event.cookie, &cookie);
  EXPECT_EQ(Message(other.next()).size(), 10u);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(full.next().kind, uint32_t{EC_USER});
  EXPECT_FALSE(full.try_next(milliseconds(100)));
}

TEST_F(WireMoves, AreRefusedWhileAnotherThreadIsConnecting) {
  Peer gone("mute");
  const Address nobody = gone.address();
  gone.kill();
  const Channel channel;
  for (int round = 0; round < 30; ++round) {
    Socket socket = Socket::make();
    std::atomic<bool> back{false};
    std::thread connecting([&] {
      EXPECT_EQ(socket.try_connect(nobody), ECONNREFUSED);
      back = true;
    });
    while (!back) {
      if (ec_add_fd(channel.get(), socket.get(), EC_DELIVER, nullptr) == 0) {
        ec_del_fd(channel.get(), socket.get());
      } else {
        EXPECT_TRUE(errno == EISCONN || errno == EEXIST) << errno;
      }
    }
    connecting.join();
  }
}

using Moves = PlainTest;

TEST_F(Moves, ThatFailForWantOfDescriptorsChangeNothing) {
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel);
  const Socket other = Socket::make();  // has what the hidden channel left
  rlimit before{};
  must(getrlimit(RLIMIT_NOFILE, &before), "getrlimit");
  const int next = must(dup(STDIN_FILENO), "dup");
  close(next);
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(next);
  must(setrlimit(RLIMIT_NOFILE, &low), "setrlimit");
  EXPECT_EQ(ec_del_fd(channel.get(), socket.get()), -1);
  EXPECT_EQ(errno, EMFILE);
  must(setrlimit(RLIMIT_NOFILE, &before), "setrlimit");
  EXPECT_GE(fcntl(socket.get(), F_GETFD), 0);
  EXPECT_EQ(ec_del_fd(channel.get(), socket.get()), 0);
  EXPECT_EQ(ec_del_fd(channel.get(), socket.get()), -1);
  EXPECT_EQ(errno, ENOENT);
}

// The kernel bounds how deep epoll descriptors may be nested; what the program left behind leaves
// all the same.
TEST_F(WireMoves, IntoAChannelInsideOthersDoNotKeepTrainsBack) {
  const Channel channels[5];
  for (int i = 0; i < 4; ++i) {
    if (ec_add_fd(channels[i].get(), channels[i + 1].get(), EPOLLIN, nullptr) != 0) break;
  }
  Peer peer("slow slots=2 size=4");
  Socket socket = Socket::make();
  socket.set(SIO_KEEPALIVE_MS, 0).join(channels[0]).connect(peer.address());
  Outflow out(socket, Pattern::of_size(1, 4), 20);
  EXPECT_FALSE(out.pump()) << "there is room in the train";
  // From here on this program makes no call.
  peer.say("take 20");
  peer.expect("take 20");
}

}  // namespace
}  // namespace sio::test
