// SPDX-License-Identifier: BSD-2-Clause
//
// How connections come to stand, and how they fail to.
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

using WireConnect = WireTest;

// Waits until the descriptor is readable.
void await_readable(int fd) {
  pollfd entry{fd, POLLIN, 0};
  if (poll(&entry, 1, static_cast<int>(kSoon.count())) != 1) fail("not readable in time");
}

TEST_F(WireConnect, StandsWhenThePeerAccepts) {
  Peer peer("mute");
  Socket socket = Socket::make(SOCK_NONBLOCK);
  EXPECT_EQ(socket.try_connect(peer.address()), EINPROGRESS);
  EXPECT_EQ(socket.try_connect(peer.address()), EALREADY);
  pollfd entry{socket.get(), POLLIN, 0};
  const auto end = Clock::now() + milliseconds(200);
  for (; Clock::now() < end; poll(&entry, 1, 20)) {
    ASSERT_EQ(socket.ready() & (EPOLLIN | EPOLLOUT), 0u) << "connected to who never accepted";
  }
  peer.say("accept");
  peer.expect("accepted");
  await_readable(socket.get());
  EXPECT_TRUE(eventually([&] { return (socket.ready() & EPOLLOUT) != 0; }));
  EXPECT_EQ(socket.take_error(), 0);
  EXPECT_EQ(socket.try_connect(peer.address()), EISCONN);
}

TEST_F(WireConnect, ToNobodyIsRefused) {
  Peer peer("mute");
  const Address gone = peer.address();
  peer.kill();
  Socket socket = Socket::make();
  EXPECT_EQ(socket.try_connect(gone), ECONNREFUSED);
}

TEST_F(WireConnect, ToNobodyIsRefusedWithoutBlockingToo) {
  Peer peer("mute");
  const Address gone = peer.address();
  peer.kill();
  const Channel channel;
  Socket joined = Socket::make(SOCK_NONBLOCK);
  joined.join(channel);
  EXPECT_EQ(joined.try_connect(gone), EINPROGRESS);
  const event_data_t event = channel.next();
  EXPECT_EQ(event.kind, uint32_t{EC_CONNECT});
  EXPECT_EQ(event.error, ECONNREFUSED);
  EXPECT_EQ(event.fd, joined.get());
  Socket alone = Socket::make(SOCK_NONBLOCK);
  EXPECT_EQ(alone.try_connect(gone), EINPROGRESS);
  await_readable(alone.get());
  EXPECT_TRUE(eventually([&] { return (alone.ready() & EPOLLERR) != 0; }));
  EXPECT_EQ(alone.take_error(), ECONNREFUSED);
  EXPECT_EQ(alone.take_error(), 0);
}

// At whatever moment: before the peer knows of it, while it answers, just after.
TEST_F(WireConnect, MayBeGivenUpAtAnyMoment) {
  Socket listener = Socket::make(SOCK_NONBLOCK);
  listener.bind(Address::self()).listen(64);
  const Address address = listener.name();
  std::atomic<bool> over{false};
  std::thread acceptor([&] {
    while (!over) {
      if (!listener.try_accept()) poll(nullptr, 0, 1);
    }
  });
  const auto give_up_after = [&](std::chrono::microseconds time) {
    Socket socket = Socket::make(SOCK_NONBLOCK);
    EXPECT_EQ(socket.try_connect(address), EINPROGRESS);
    for (const auto end = Clock::now() + time; Clock::now() < end;) continue;
  };
  const uint64_t rounds = scaled(on_soft() ? 400 : 60);
  const auto step = std::chrono::microseconds(on_soft() ? 1 : 500);
  for (uint64_t i = 0; i < rounds; ++i) give_up_after(step * i);
  Socket last = Socket::make();
  EXPECT_EQ(last.try_connect(address), 0);
  over = true;
  acceptor.join();
}

TEST_F(WireConnect, MayBeTriedAgainAfterAFailure) {
  Peer gone("mute");
  const Address nobody = gone.address();
  gone.kill();
  Peer peer("echo way=blocking");
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel);
  EXPECT_EQ(socket.try_connect(nobody), ECONNREFUSED);
  socket.connect(peer.address());
  socket.send("at last");
  EXPECT_EQ(Message(channel.skip_to(EC_RECV)).view(), "at last");
  socket.close();
  peer.finish();
}

TEST_F(WireConnect, TimesOutWhenThePeerNeverAccepts) {
  Peer peer("mute");
  for (const int limit : {50, 700}) {
    Socket socket = Socket::make();
    socket.set(SIO_CONNECT_TIMEOUT, limit);
    const auto start = Clock::now();
    EXPECT_EQ(socket.try_connect(peer.address()), ETIMEDOUT);
    EXPECT_GE(since(start), milliseconds(limit));
    EXPECT_LT(since(start), milliseconds(limit + 3000));
  }
  // Those have given up: the backlog has forgotten them, or they fail soon after sio_accept.
  Socket socket = Socket::make(SOCK_NONBLOCK);
  EXPECT_EQ(socket.try_connect(peer.address()), EINPROGRESS);
  bool connected = false;
  for (int i = 0; i < 3 && !connected; ++i) {
    peer.say("accept");
    peer.expect("accepted");
    connected = eventually([&] { return (socket.ready() & EPOLLOUT) != 0; }, milliseconds(2000));
  }
  EXPECT_TRUE(connected);
}

TEST_F(WireConnect, ToAnAddressThatNobodyHasFails) {
  const Address self = Address::self();
  if (self.family() != AF_INET) GTEST_SKIP() << "needs an IPv4 network";
  if (self.text().rfind("127.", 0) == 0) GTEST_SKIP() << "the loopback network has no other hosts";
  // The last address of the network but the broadcast address, if it has 24 bits as usual.
  const std::string text = self.text();
  const Address nobody(text.substr(0, text.rfind('.')) + ".254", 7);
  Socket socket = Socket::make();
  socket.set(SIO_CONNECT_TIMEOUT, 8000);
  EXPECT_EQ(socket.try_connect(nobody), EHOSTUNREACH);
}

TEST_F(WireConnect, ToEverybodyFails) {
  Socket socket = Socket::make(0, AF_INET);
  EXPECT_THAT(socket.try_connect(Address("255.255.255.255", 7)),
              testing::AnyOf(EHOSTUNREACH, ENETUNREACH, ENODEV, EADDRNOTAVAIL));
}

TEST_F(WireConnect, ToAnAddressOfNoRdmaDeviceFails) {
  if (on_soft()) GTEST_SKIP() << "the soft provider reaches every address";
  Socket v4 = Socket::make(0, AF_INET);
  EXPECT_TRUE(v4.try_connect({"127.0.0.1", 7}) == ENODEV || errno == EADDRNOTAVAIL ||
              errno == ENETUNREACH)
      << errno;
  Socket v6 = Socket::make(0, AF_INET6);
  EXPECT_TRUE(v6.try_connect({"::1", 7}) == ENODEV || errno == EADDRNOTAVAIL ||
              errno == ENETUNREACH)
      << errno;
}

TEST_F(WireConnect, ToALinkThatIsGivenNoRouteFails) {
  if (on_soft()) GTEST_SKIP() << "TCP goes by the default route, to whoever answers there";
  // 240.0.0.0/4 is reserved: no host routes there.
  Socket socket = Socket::make(0, AF_INET);
  socket.set(SIO_CONNECT_TIMEOUT, 3000);
  const int error = socket.try_connect({"240.0.0.1", 7});
  EXPECT_TRUE(error == ENETUNREACH || error == EHOSTUNREACH || error == ENODEV) << error;
}

TEST_F(WireConnect, GoesOnWhenASignalInterruptsIt) {
  Peer peer("mute");
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel);
  {
    const Interrupter interrupter;
    EXPECT_EQ(socket.try_connect(peer.address()), EINTR);
  }
  EXPECT_EQ(socket.try_connect(peer.address()), EALREADY);
  peer.say("accept");
  peer.expect("accepted");
  EXPECT_EQ(channel.expect(EC_CONNECT).error, 0);
}

// Nothing is known of the way there when the first sio_send comes; it waits for that, and for no
// more: the peer never accepts.
TEST_F(WireConnect, UnderWayTakesMessagesOfWhoCanWait) {
  Peer peer("mute");
  bool early = false;  // it may be known sooner than we ask
  for (int attempt = 0; attempt < 100 && !early; ++attempt) {
    Socket socket = Socket::make(SOCK_NONBLOCK);
    socket.set(SIO_CONNECT_TIMEOUT, 60'000);
    EXPECT_EQ(socket.try_connect(peer.address()), EINPROGRESS);
    socket.set_nonblocking(false);
    early = socket.info().qp_num == 0;
    const auto start = Clock::now();
    for (int n = 0; n < 10; ++n) EXPECT_EQ(socket.try_send("early", 5), 0);
    EXPECT_LT(since(start), milliseconds(30'000));
  }
  EXPECT_TRUE(early);
}

TEST_F(WireConnect, ThatFailsEndsTheCallsThatWaitedForIt) {
  Peer peer("mute");
  for (const bool sends : {false, true}) {
    Socket socket = Socket::make();
    socket.set(SIO_CONNECT_TIMEOUT, 2000);
    {
      const Interrupter interrupter;
      EXPECT_EQ(socket.try_connect(peer.address()), EINTR);
    }
    int error = 0;
    if (sends) {  // until there is no room, and then until there will be none
      while (error == 0) error = socket.try_send("early", 5);
    } else {
      socket.send("early");
      error = sio_flush(socket.get(), nullptr) == 0 ? 0 : errno;
    }
    EXPECT_EQ(error, ENOTCONN);
  }
}

TEST_F(WireConnect, CanBeAbandonedByClosing) {
  Peer peer("mute");
  const Channel channel;
  for (const bool joined : {false, true}) {
    Socket socket = Socket::make(SOCK_NONBLOCK);
    if (joined) socket.join(channel);
    EXPECT_EQ(socket.try_connect(peer.address()), EINPROGRESS);
    const auto start = Clock::now();
    EXPECT_EQ(socket.close(), 0);
    EXPECT_LT(since(start), milliseconds(5000));
  }
  EXPECT_FALSE(channel.try_next(milliseconds(100))) << "an event of a socket that is closed";
}

TEST_F(WireConnect, NamesBothEndsAlikeAtBothEnds) {
  Peer peer("serve");
  Socket socket = Socket::make();
  socket.connect(peer.address());
  EXPECT_EQ(socket.peer_name(), peer.address());
  EXPECT_EQ(socket.name().text(), Address::self().text());
  EXPECT_NE(socket.name().port(), 0);
  const auto names = split_words(peer.expect("accepted"));
  EXPECT_EQ(names.at(0), socket.name().whole());
  EXPECT_EQ(names.at(1), socket.peer_name().whole());
}

TEST_F(WireConnect, CutsNamesToTheSpaceThatTheyAreGiven) {
  Peer peer("serve");
  Socket socket = Socket::make();
  socket.connect(peer.address());
  sockaddr_storage name{};
  socklen_t size = sizeof(sa_family_t);
  EXPECT_EQ(sio_getpeername(socket.get(), reinterpret_cast<sockaddr*>(&name), &size), 0);
  EXPECT_EQ(size, peer.address().size());
  EXPECT_EQ(name.ss_family, peer.address().family());
  EXPECT_EQ(reinterpret_cast<const sockaddr_in&>(name).sin_port, 0) << "written past the space";
}

TEST_F(WireConnect, MayComeFromAPortThatWasBound) {
  Peer peer("serve");
  Socket socket = Socket::make();
  socket.bind(Address::self());
  const Address bound = socket.name();
  EXPECT_NE(bound.port(), 0);
  socket.connect(peer.address());
  EXPECT_EQ(socket.name(), bound);
  EXPECT_EQ(split_words(peer.expect("accepted")).at(0), bound.whole());
}

TEST_F(WireConnect, WorksOverIpv6) {
  const std::string own = global_ipv6_of(interface_of(Address::self().text()));
  if (own.empty()) GTEST_SKIP() << "the device's interface has no global IPv6 address";
  Peer peer("echo way=blocking address=ipv6");
  Socket socket = Socket::make(0, AF_INET6);
  socket.connect(peer.address());
  EXPECT_EQ(socket.name().text(), own);
  EXPECT_EQ(socket.peer_name(), peer.address());
  socket.send("over IPv6");
  EXPECT_EQ(socket.receive().view(), "over IPv6");
  socket.close();
  peer.finish();
}

TEST_F(WireConnect, TellsOfTheConnectionInItsInfo) {
  Peer peer("echo");
  Socket socket = Socket::make();
  socket.connect(peer.address());
  const sio_info info = socket.info();
  EXPECT_STRNE(info.device, "");
  EXPECT_GE(info.port, 1u);
  EXPECT_GE(info.mtu, 256u);
  EXPECT_NE(info.qp_num, 0u);
  EXPECT_NE(info.peer_qp_num, 0u);
  EXPECT_EQ(info.slot_size, kSlot);
  EXPECT_EQ(info.credits, 64u);
  EXPECT_EQ(info.error, 0);
  // The GID is that of the address: "::ffff:10.9.0.1".
  const std::string gid = info.gid;
  EXPECT_NE(gid.find(Address::self().text()), std::string::npos) << gid;
  EXPECT_NE(socket.get_option<dma_mem_t>(SIO_AREA), nullptr);
}

TEST_F(WireConnect, ThatFailsIsAnOutcomeOfWhatWasSentBefore) {
  Peer peer("mute");
  const Area area(size_t{1} << 20);
  const Channel channel;
  Socket socket = Socket::make(SOCK_NONBLOCK);
  socket.set(SIO_CONNECT_TIMEOUT, 300).join(channel).associate(area, DMA_SEND);
  for (int round = 0; round < 2; ++round) {
    const Message block = Message::reserve(area, 100);
    ASSERT_EQ(socket.try_connect(peer.address()), EINPROGRESS);
    // As soon as the way to the peer is known.
    ASSERT_TRUE(eventually([&] { return socket.try_send(block.data(), block.size()) == 0; }));
    const event_data_t event = channel.expect(EC_SENT);
    EXPECT_EQ(event.error, ETIMEDOUT);
    EXPECT_EQ(event.data.buf, block.data());
    EXPECT_EQ(channel.expect(EC_CONNECT).error, ETIMEDOUT);
  }
}

}  // namespace
}  // namespace sio::test
