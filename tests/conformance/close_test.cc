// SPDX-License-Identifier: BSD-2-Clause
//
// How connections end when nobody dies: orderly, half, at once, or while data is still leaving.
#include <poll.h>

#include <cerrno>
#include <csignal>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

using WireClose = WireTest;

TEST_F(WireClose, IsToldAfterAllThatWasSent) {
  Peer peer("source seed=1 size=700 count=500");
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).connect(peer.address());
  Inflow in(Pattern::of_size(1, 700), 500);
  for (event_data_t event = channel.next(); event.kind != EC_EOF; event = channel.next()) {
    ASSERT_EQ(event.kind, uint32_t{EC_RECV});
    in.take(Message(event));
  }
  EXPECT_TRUE(in.finished());
  peer.finish();
  EXPECT_FALSE(channel.try_next(milliseconds(200))) << "an orderly end is no failure";
  EXPECT_EQ(socket.try_send("x", 1), EPIPE);
  EXPECT_EQ(socket.take_error(), 0);
}

// More completions than one look takes are before the end, which has come while the program did
// something else.
TEST_F(WireClose, IsInOrderHoweverMuchIsBeforeIt) {
  constexpr int kCount = 900;
  Socket listener = Socket::make();
  listener.set(SIO_RECV_SLOTS, 1024).bind(Address::self()).listen();
  const Channel channel;
  Socket near = Socket::make();
  Socket far;
  std::thread connecting([&] { near.set(SIO_NODELAY, 1).connect(listener.name()); });
  far = listener.accept(channel);
  connecting.join();
  for (int i = 0; i < kCount; ++i) near.send("one");
  near.set_linger(60).close();  // returns when the other end has heard
  std::this_thread::sleep_for(milliseconds(1500));
  for (int i = 0; i < kCount; ++i) Message{channel.expect(EC_RECV)};
  channel.expect(EC_EOF);
}

TEST_F(WireClose, IsToldWhenTheLastMessageHasBeenTaken) {
  const Channel channel;
  Peer peer("serve then=burst count=2 size=10 close=1");
  Socket socket = Socket::make();
  socket.join(channel, EPOLLIN).connect(peer.address());
  peer.expect("accepted");
  peer.expect("closed");
  channel.skip_to(EC_READABLE);
  EXPECT_TRUE(eventually([&] { return (socket.ready() & EPOLLRDHUP) != 0; }));
  for (int i = 0; i < 2; ++i) EXPECT_EQ(socket.receive().size(), 10u);
  channel.skip_to(EC_EOF);
}

TEST_F(WireClose, IsZeroAndNullFromRecvEachTime) {
  Peer peer("source size=10 count=3");
  Socket socket = Socket::make();
  socket.connect(peer.address());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(socket.receive().size(), 10u);
  for (int i = 0; i < 3; ++i) {
    const auto [status, buffer] = socket.try_receive();
    EXPECT_TRUE(status);
    EXPECT_EQ(buffer.data(), nullptr);
  }
  EXPECT_NE(socket.ready() & EPOLLRDHUP, 0u);
}

TEST_F(WireClose, OfOneDirectionLeavesTheOtherOpen) {
  Peer peer("echo");
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).connect(peer.address());
  for (int i = 0; i < 100; ++i) socket.send("last words");
  must(socket.shutdown(SHUT_WR), "shutdown");
  EXPECT_EQ(socket.try_send("x", 1), EPIPE);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Message(channel.skip_to(EC_RECV)).view(), "last words");
  }
  channel.skip_to(EC_EOF);
  EXPECT_EQ(peer.expect_number("ended"), 100u);
  peer.finish();
}

TEST_F(WireClose, OfThePeersDirectionLeavesOursOpen) {
  Peer peer("serve then=shut");
  Socket socket = Socket::make();
  socket.connect(peer.address());
  EXPECT_FALSE(socket.receive());
  for (int i = 0; i < 20; ++i) socket.send("to one who sends no more");
  socket.flush();
  must(socket.shutdown(SHUT_RDWR), "shutdown");
}

// Whatever comes first here: the end, or word of what the peer has taken.
TEST_F(WireClose, OfAPeerThatTookAllLetsFlushSucceed) {
  for (int round = 0; round < 10; ++round) {
    Peer peer("sink seed=1 size=100 count=50 way=blocking");
    Socket socket = Socket::make();
    socket.connect(peer.address());
    Outflow out(socket, Pattern::of_size(1, 100), 50);
    while (!out.all_sent()) out.pump(1);
    if (round % 2 == 1) {
      peer.finish();
      EXPECT_TRUE(eventually([&] { return (socket.ready() & EPOLLHUP) != 0; }));
    }
    EXPECT_NO_THROW(socket.flush()) << "round " << round;
  }
}

TEST_F(WireClose, OfTheReadingSideDropsWhatArrives) {
  Peer peer("source size=100 count=1000");
  Socket socket = Socket::make();
  socket.connect(peer.address());
  must(socket.shutdown(SHUT_RD), "shutdown");
  EXPECT_FALSE(socket.receive());
  peer.expect("sent");  // all of it found room
  peer.finish();
}

// ---------------------------------------------------------------------------- data still leaving

class WireCloseWith : public WireTest, public testing::WithParamInterface<bool> {
 protected:
  // With a channel, or without.
  Socket make() {
    Socket socket = Socket::make();
    if (GetParam()) socket.join(channel_);
    return socket;
  }

  Area area_{size_t{2} << 20};
  Channel channel_;
};

INSTANTIATE_TEST_SUITE_P(Wire, WireCloseWith, testing::Bool(),
                         [](const auto& info) { return info.param ? "Channel" : "NoChannel"; });

TEST_P(WireCloseWith, RightAfterConnectAndSendDeliversAll) {
  for (const int count : {1, 5, 60, 400}) {
    Peer peer("sink seed=2 size=200");
    Socket socket = make();
    socket.connect(peer.address());
    send_all_blocking(socket, Pattern::of_size(2, 200), static_cast<uint64_t>(count));
    EXPECT_EQ(socket.close(), 0);
    EXPECT_EQ(split_words(peer.expect("done")).at(0), std::to_string(count));
    peer.finish();
  }
}

TEST_P(WireCloseWith, FlushesWhatWasNotSentYet) {
  Peer peer("slow seed=3 slots=4");
  Socket socket = make();
  socket.set_linger(30).associate(area_, DMA_SEND).connect(peer.address());
  Outflow out(socket, Pattern(3), 1000, Lend::kMixed, &area_);
  EXPECT_TRUE(out.pump());  // the train is full of what the peer has no room for
  peer.say("drain");
  EXPECT_EQ(socket.close(), 0);
  EXPECT_EQ(peer.expect("done"), std::to_string(out.count()) + ' ' + std::to_string(out.bytes()));
  while (GetParam() && out.lent() > 0) out.sent(channel_.expect(EC_SENT));
}

TEST_P(WireCloseWith, TakesNoLongerThanItLingers) {
  Peer peer("slow slots=2");
  Socket socket = make();
  socket.set_linger(1).connect(peer.address());
  Outflow out(socket, Pattern::of_size(1, 500), 1000);
  EXPECT_TRUE(out.pump());
  const auto start = Clock::now();
  EXPECT_EQ(socket.close(), 0);
  EXPECT_LT(since(start), milliseconds(GetParam() ? 500 : 6000));
}

TEST_P(WireCloseWith, IsBoundedWhenThePeerIsStopped) {
  Peer peer("slow slots=2");
  Socket socket = make();
  socket.set_linger(1).connect(peer.address());
  peer.stop();
  Outflow out(socket, Pattern::of_size(1, 500), 1000);
  out.pump();
  const auto start = Clock::now();
  EXPECT_EQ(socket.close(), 0);
  EXPECT_LT(since(start), milliseconds(GetParam() ? 500 : 6000));
}

TEST_P(WireCloseWith, WithoutLingeringAborts) {
  Peer peer("slow slots=2");
  Socket socket = make();
  socket.set_linger(0).connect(peer.address());
  Outflow out(socket, Pattern::of_size(1, 500), 1000);
  out.pump();
  EXPECT_EQ(socket.close(), 0);
  peer.say("drain");
  // What had arrived may be read; then the connection is broken, which is no end.
  const std::string last = peer.line();
  EXPECT_EQ(last.rfind("error", 0), 0u) << last;
}

TEST_P(WireCloseWith, OfAnIdleConnectionTakesNoTime) {
  Peer peer("echo");
  Socket socket = make();
  socket.connect(peer.address());
  const auto start = Clock::now();
  EXPECT_EQ(socket.close(), 0);
  EXPECT_LT(since(start), milliseconds(1000));
  peer.finish();
}

TEST_F(WireClose, TellsTheOutcomeOfEachMessageAfterIt) {
  constexpr uint64_t kCount = 300;
  Peer peer("sink seed=4 way=deliver");
  const Area area(size_t{4} << 20);
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).associate(area, DMA_SEND).connect(peer.address());
  Outflow out(socket, Pattern(4), kCount, Lend::kSent, &area);
  while (!out.all_sent()) {
    if (!out.pump(64)) continue;
    const event_data_t event = channel.next();
    if (event.kind == EC_SENT) out.sent(event);
  }
  EXPECT_EQ(socket.close(), 0);
  while (out.lent() > 0) out.sent(channel.expect(EC_SENT));
  EXPECT_FALSE(channel.try_next(milliseconds(100)));
  EXPECT_EQ(split_words(peer.expect("done")).at(0), std::to_string(kCount));
}

TEST_F(WireClose, GivesBackAReceivedMessageThatWasNeverTaken) {
  Area area(size_t{1} << 20);
  {
    Peer peer("source size=300 count=40");
    const Channel channel;
    Socket socket = Socket::make();
    socket.join(channel).associate(area).connect(peer.address());
    const Message first(channel.expect(EC_RECV));
    peer.expect("sent");  // the others wait in the ring or in their slots
    EXPECT_EQ(socket.close(), 0);
  }
  EXPECT_TRUE(eventually([&] { return accounts(area.get()).free == area.bytes(); }));
}

// --------------------------------------------------------------- a program that calls no more

TEST_F(WireClose, OrSleepAfterABurstDoesNotKeepItFromArriving) {
  for (const char* way : {"", " close=1 linger=10"}) {
    Socket listener = Socket::make();
    listener.bind(Address::self()).listen();
    Peer peer("dial then=burst count=150 size=64" + to(listener) + way);
    Socket socket = listener.accept();
    Inflow in(Pattern::of_size(1, 64), 150);
    const auto start = Clock::now();
    receive_all(Way::kBlocking, nullptr, socket, in);
    EXPECT_TRUE(in.finished());
    EXPECT_LT(since(start), milliseconds(5000)) << "the train left late";
  }
}

TEST_F(WireClose, OrSleepAfterALoneMessageDoesNotKeepItFromArriving) {
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Peer peer("dial then=burst count=1" + to(listener));
  Socket socket = listener.accept();
  EXPECT_EQ(socket.receive().size(), 64u);
}

// The program has not looked since the connect was refused, so that its end is still to be taken
// in.
TEST_F(WireClose, RightAfterAConnectWasRefusedTellsWhatBecameOfTheMessages) {
  const Area area(size_t{1} << 16);
  const Channel channel;
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Socket socket = Socket::make(SOCK_NONBLOCK);
  socket.join(channel).associate(area, DMA_SEND);
  ASSERT_EQ(socket.try_connect(listener.name()), EINPROGRESS);
  Message lent = Message::reserve(area, 64);
  ASSERT_TRUE(eventually([&] { return socket.try_send(lent.data(), lent.size()) == 0; }));
  listener.close();
  EXPECT_TRUE(eventually([&] { return socket.info().error == ECONNREFUSED; }));
  EXPECT_EQ(socket.close(), 0);
  const event_data_t event = channel.expect(EC_SENT);
  EXPECT_EQ(event.data.buf, lent.data());
  EXPECT_EQ(event.error, ECONNREFUSED);
}  // and the socket goes: else the area would stay associated

}  // namespace
}  // namespace sio::test
