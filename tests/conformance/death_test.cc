// SPDX-License-Identifier: BSD-2-Clause
//
// The peer is killed (SIGKILL) in each state of a connection, and we notice.
#include <sys/wait.h>

#include <cerrno>
#include <csignal>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

// How the death of a peer may be told: it reset the connection, or is silent.
bool tells_of_death(int error) { return error == ECONNRESET || error == ETIMEDOUT; }

class WireDeath : public WireTest {
 protected:
  // Takes events up to EC_HUP, which is the last; the outcomes go to `out`. An EC_EOF is
  // legitimate where the peer had sent its end.
  void expect_hup(bool end_is_fine, Outflow* out = nullptr) {
    for (;;) {
      const event_data_t event = channel_.next(milliseconds(30'000));
      if (event.kind == EC_RECV) Message dropped(event);
      if (event.kind == EC_SENT && out != nullptr) out->outcome(event);
      EXPECT_TRUE(event.kind != EC_EOF || end_is_fine);
      if (event.kind != EC_HUP) continue;
      EXPECT_TRUE(tells_of_death(event.error)) << event.error;
      break;
    }
    EXPECT_FALSE(channel_.try_next(milliseconds(50))) << "an event after EC_HUP";
  }

  Socket connect_to(Peer& peer, int keepalive_ms = 500) {
    Socket socket = Socket::make();
    socket.set(SIO_KEEPALIVE_MS, keepalive_ms).join(channel_).associate(area_, DMA_SEND);
    socket.connect(peer.address());
    return socket;
  }

  // A listener, and a behaviour that connects to it.
  Peer dial(const std::string& what) {
    listener_ = Socket::make(SOCK_NONBLOCK);
    listener_.set(SIO_KEEPALIVE_MS, 500).join(channel_).bind(Address::self()).listen();
    return Peer(what + to(listener_));
  }

  Area area_{size_t{2} << 20};
  Channel channel_;
  Socket listener_;
};

TEST_F(WireDeath, WhileWeConnectEndsTheConnect) {
  Peer peer("mute");
  Socket socket = Socket::make(SOCK_NONBLOCK);
  socket.set(SIO_CONNECT_TIMEOUT, 10'000).join(channel_);
  EXPECT_EQ(socket.try_connect(peer.address()), EINPROGRESS);
  EXPECT_FALSE(channel_.try_next(milliseconds(100)));
  peer.kill();
  const event_data_t event = channel_.expect(EC_CONNECT, milliseconds(12'000));
  EXPECT_TRUE(event.error == ECONNREFUSED || tells_of_death(event.error)) << event.error;
}

TEST_F(WireDeath, WhileItWaitsToBeAcceptedIsToldByAcceptOrAfterIt) {
  Peer peer = dial("dial");
  channel_.expect(EC_ACCEPT);
  peer.kill();
  const Socket socket = listener_.try_accept();
  if (!socket) return;
  const event_data_t event = channel_.expect(EC_HUP, milliseconds(30'000));
  EXPECT_TRUE(tells_of_death(event.error) || event.error == ECONNABORTED) << event.error;
}

TEST_F(WireDeath, AfterAcceptingUsIsNoticed) {
  Peer peer("mute");
  Socket socket = Socket::make(SOCK_NONBLOCK);
  socket.set(SIO_KEEPALIVE_MS, 500).join(channel_);
  EXPECT_EQ(socket.try_connect(peer.address()), EINPROGRESS);
  peer.say("accept");
  peer.expect("accepted");
  peer.kill();
  const event_data_t event = channel_.next();
  if (event.kind == EC_CONNECT && event.error != 0) return;  // it died sooner than we knew
  EXPECT_EQ(event.kind, uint32_t{EC_CONNECT});
  expect_hup(false);
}

TEST_F(WireDeath, OfAnIdlePeerIsNoticed) {
  Peer peer("serve");
  Socket socket = connect_to(peer);
  peer.expect("accepted");
  peer.kill();
  expect_hup(false);
  EXPECT_TRUE(tells_of_death(socket.take_error()));
  EXPECT_TRUE(tells_of_death(socket.info().error));
  EXPECT_NE(socket.ready() & EPOLLHUP, 0u);
}

TEST_F(WireDeath, OfAnIdlePeerIsNoticedByWhoWeAccepted) {
  Peer peer = dial("dial");
  channel_.expect(EC_ACCEPT);
  const Socket socket = listener_.accept();
  peer.expect("connecting");
  peer.expect("connected");
  peer.kill();
  expect_hup(false);
}

TEST_F(WireDeath, WhileWeSendFlatOutGivesEachMessageItsOutcome) {
  Peer peer("serve then=drain");
  Socket socket = connect_to(peer);
  Outflow out(socket, Pattern(1), UINT64_MAX, Lend::kMixed, &area_);
  uint64_t until = 3000;
  while (out.error() == 0) {
    out.pump(32);
    if (out.count() > until) peer.signal(SIGKILL);
    if (out.count() > until) until = UINT64_MAX;
    while (const auto event = channel_.try_next(milliseconds(1))) {
      if (event->kind == EC_SENT) out.outcome(*event);
      if (event->kind != EC_HUP) continue;
      EXPECT_TRUE(tells_of_death(event->error)) << event->error;
      EXPECT_EQ(out.lent(), 0u) << "outcomes are told before EC_HUP";
      return;
    }
  }
  EXPECT_TRUE(tells_of_death(out.error())) << out.error();
  expect_hup(false, &out);
  EXPECT_EQ(out.lent(), 0u);
  EXPECT_EQ(socket.try_send("x", 1), EPIPE) << "the reason is told once";
}

TEST_F(WireDeath, WhileItSendsIsToldAfterWhatItSent) {
  Peer peer("serve then=flood");
  Socket socket = connect_to(peer);
  for (int i = 0; i < 2000; ++i) Message taken(channel_.expect(EC_RECV));
  peer.signal(SIGKILL);
  expect_hup(false);
}

TEST_F(WireDeath, WhileItHoldsOurCreditsUnblocksWhoWaitsForThem) {
  Peer peer("serve then=hold count=5 slots=4 nodelay=1");
  Socket socket = Socket::make();
  socket.set(SIO_KEEPALIVE_MS, 500).set(SIO_NODELAY, 1).connect(peer.address());
  for (int i = 0; i < 4; ++i) socket.send("held");
  const std::string accepted = peer.expect("accepted");
  peer.signal(SIGKILL);
  const std::vector<char> data(500);
  int error = 0;
  while (error == 0) error = socket.try_send(data.data(), data.size());
  EXPECT_TRUE(tells_of_death(error)) << error;
  EXPECT_EQ(socket.try_send("x", 1), EPIPE);
}

TEST_F(WireDeath, UnblocksWhoWaitsForAMessage) {
  Peer peer("serve");
  Socket socket = Socket::make();
  socket.set(SIO_KEEPALIVE_MS, 500).connect(peer.address());
  peer.expect("accepted");
  peer.signal(SIGKILL);
  void* data;
  EXPECT_EQ(sio_recv(socket.get(), &data, SIZE_MAX, 0), -1);
  EXPECT_TRUE(tells_of_death(errno)) << errno;
}

TEST_F(WireDeath, UnblocksWhoFlushes) {
  Peer peer("slow slots=2");
  Socket socket = Socket::make();
  socket.set(SIO_KEEPALIVE_MS, 500).connect(peer.address());
  Outflow out(socket, Pattern::of_size(1, 500), 1000);
  out.pump();  // the rest waits for credits that never come
  peer.signal(SIGKILL);
  EXPECT_EQ(sio_flush(socket.get(), nullptr), -1);
  EXPECT_TRUE(tells_of_death(errno)) << errno;
}

TEST_F(WireDeath, OfAHalfClosedPeerIsNoticed) {
  Peer peer("serve then=shut");
  Socket socket = connect_to(peer);
  channel_.expect(EC_EOF);
  Outflow out(socket, Pattern::of_size(1, 400), 1000, Lend::kSent, &area_);
  out.pump();  // until it has no room
  peer.kill();
  // It had ended in order, so only what was not acknowledged tells; and whoever sends on.
  while (out.lent() > 0) {
    const event_data_t event = channel_.next(milliseconds(30'000));
    if (event.kind == EC_SENT) out.outcome(event);
  }
  EXPECT_TRUE(eventually([&] {
    const int error = socket.try_send("x", 1, MSG_DONTWAIT);
    return error == EPIPE || tells_of_death(error);
  }));
}

TEST_F(WireDeath, WhileItClosesIsNoticed) {
  Peer peer("serve then=stuff linger=60");
  Socket socket = Socket::make();
  socket.set(SIO_RECV_SLOTS, 4).set(SIO_KEEPALIVE_MS, 500).connect(peer.address());
  peer.expect("accepted");
  peer.expect("stuffed");
  peer.say("close");  // which lingers, for we take nothing
  peer.kill();
  int taken = 0;
  void* data = nullptr;
  int result;
  while ((result = sio_recv(socket.get(), &data, SIZE_MAX, 0)) > 0) {
    Message message(data, static_cast<size_t>(result));
    ++taken;
  }
  // What it stuffed has arrived, unless it died before it knew that the connection stands.
  EXPECT_TRUE(result == 0 || tells_of_death(errno)) << errno << " after " << taken;
}

TEST_F(WireDeath, WhileWeCloseDoesNotKeepUs) {
  Peer peer("slow slots=2");
  Socket socket = Socket::make();
  socket.set_linger(30).set(SIO_KEEPALIVE_MS, 500).connect(peer.address());
  Outflow out(socket, Pattern::of_size(1, 500), 1000);
  out.pump();
  peer.signal(SIGKILL);
  const auto start = Clock::now();
  EXPECT_EQ(socket.close(), 0);
  EXPECT_LT(since(start), milliseconds(12'000));
}

TEST_F(WireDeath, OfOnePeerIsNoTroubleToTheOthers) {
  Peer good("echo");
  Peer bad("serve then=flood");
  Socket to_good = connect_to(good);
  Socket to_bad = connect_to(bad);
  bool hup = false;
  for (int round = 0; round < 300 || !hup; ++round) {
    if (round == 100) bad.signal(SIGKILL);
    to_good.send("still there");
    for (bool back = false; !back;) {
      const event_data_t event = channel_.next(milliseconds(30'000));
      hup |= event.kind == EC_HUP;
      EXPECT_TRUE(event.kind != EC_HUP || event.fd == to_bad.get());
      if (event.kind != EC_RECV) continue;
      const Message message(event);
      back = event.fd == to_good.get();
    }
  }
  to_good.close();
  good.finish();
}

}  // namespace
}  // namespace sio::test
