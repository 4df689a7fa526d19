// SPDX-License-Identifier: BSD-2-Clause
//
// A full event ring holds events back: nothing is lost, and calls that block still finish.
#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

std::atomic<int> overflow_signals{0};

class WireFullRing : public WireTest {
 protected:
  static constexpr size_t kEntries = 2;

  Socket connect_to(Peer& peer) {
    Socket socket = Socket::make();
    socket.join(channel_).associate(area_, DMA_SEND).connect(peer.address());
    return socket;
  }

  // Nobody takes what is in the ring from now on.
  void fill_ring() {
    while (channel_.post(0).ok()) {
    }
    EXPECT_EQ(errno, EAGAIN);
  }

  // What the ring was filled with.
  void empty_ring() {
    for (size_t i = 0; i < kEntries; ++i) EXPECT_EQ(channel_.next().kind, uint32_t{EC_USER});
  }

  Area area_{size_t{4} << 20};
  Channel channel_{0, kEntries};
};

TEST_F(WireFullRing, LosesNoMessage) {
  const uint64_t count = scaled(500);
  Peer peer("source seed=1 lend=mixed count=" + std::to_string(count));
  const Socket socket = connect_to(peer);
  Inflow in(Pattern(1), count);
  for (event_data_t event = channel_.next(); event.kind != EC_EOF; event = channel_.next()) {
    ASSERT_EQ(event.kind, uint32_t{EC_RECV});
    in.take(Message(event));
  }
  EXPECT_TRUE(in.finished());
}

TEST_F(WireFullRing, StallsTheSenderByItsCredits) {
  fill_ring();
  Peer source("source seed=3 size=64 count=100000");
  const Socket socket = connect_to(source);
  // It fills our slots, and no more.
  EXPECT_TRUE(eventually([&] {
    const Accounts stat = accounts(socket.get_option<dma_mem_t>(SIO_AREA));
    return stat.received >= 60 * kSlot;
  }));
  empty_ring();
  Inflow in(Pattern::of_size(3, 64));
  for (int i = 0; i < 1000; ++i) in.take(Message(channel_.expect(EC_RECV)));
}

TEST_F(WireFullRing, DoesNotKeepAFlushFromFinishing) {
  Peer peer("sink seed=4");
  Socket socket = connect_to(peer);
  fill_ring();
  std::vector<Message> lent;
  const Pattern pattern(4);
  for (uint64_t n = 0; n < 100; ++n) {
    const size_t size = pattern.size(n);
    lent.push_back(Message::reserve(area_, std::max(size, size_t{1})));
    pattern.fill(lent.back().data(), n, size);
    ASSERT_EQ(socket.try_send(lent.back().data(), size), 0);
  }
  socket.flush();
  EXPECT_EQ(accounts(area_.get()).in_flight, 0u) << "acknowledged, if not told of";
  empty_ring();
  for (const Message& message : lent) {
    EXPECT_EQ(channel_.expect(EC_SENT).data.buf, message.data());
  }
  socket.close();
  EXPECT_EQ(split_words(peer.expect("done")).at(0), "100");
}

TEST_F(WireFullRing, DoesNotKeepABlockingSendFromFinishing) {
  const uint64_t count = scaled(1000);
  Peer peer("sink seed=5 slots=4");
  Socket socket = connect_to(peer);
  fill_ring();
  send_all_blocking(socket, Pattern(5), count, &area_);  // far more than there are credits
  socket.flush();
  socket.close();
  EXPECT_EQ(split_words(peer.expect("done")).at(0), std::to_string(count));
}

TEST_F(WireFullRing, DoesNotKeepACloseFromFinishing) {
  Peer peer("sink seed=6 slots=2");
  Socket socket = connect_to(peer);
  socket.set_linger(30);
  fill_ring();
  Outflow out(socket, Pattern(6), 2000, Lend::kSent, &area_);
  out.pump();
  EXPECT_EQ(socket.close(), 0);
  EXPECT_EQ(split_words(peer.expect("done")).at(0), std::to_string(out.count()));
  empty_ring();
  while (out.lent() > 0) out.sent(channel_.expect(EC_SENT));
}

TEST_F(WireFullRing, DoesNotKeepABlockingConnectFromFinishing) {
  Peer peer("echo");
  fill_ring();
  Socket socket = connect_to(peer);
  socket.send("x");
  empty_ring();
  EXPECT_EQ(Message(channel_.expect(EC_RECV)).view(), "x");
}

TEST_F(WireFullRing, HoldsBackTheEndUntilThereIsRoom) {
  Peer peer("source size=10 count=1");
  fill_ring();
  const Socket socket = connect_to(peer);
  peer.finish();
  empty_ring();
  EXPECT_EQ(Message(channel_.expect(EC_RECV)).size(), 10u);
  channel_.expect(EC_EOF);
}

TEST_F(WireFullRing, SignalsOnceUntilItWasEmptyAgain) {
  std::signal(SIGUSR2, [](int) { ++overflow_signals; });
  overflow_signals = 0;
  const Channel channel(EC_OVERFLOW_SIGNAL(SIGUSR2), 2);
  Peer peer("echo");
  Socket socket = Socket::make();
  socket.join(channel).connect(peer.address());
  for (int round = 0; round < 2; ++round) {
    const int before = overflow_signals;  // answers may come while we still send
    for (int i = 0; i < 10; ++i) socket.send("more than the ring has room for");
    EXPECT_TRUE(eventually([&] {
      (void)channel.wait(kSoon);
      return overflow_signals > before;
    }));
    for (int i = 0; i < 10; ++i) Message taken(channel.expect(EC_RECV));
    EXPECT_FALSE(channel.try_next(milliseconds(20)));  // empty
    // Not one for each that is held back. (More may come late and find the ring emptied: it takes
    // three to overflow it.)
    EXPECT_LE(overflow_signals, before + 3);
  }
  std::signal(SIGUSR2, SIG_DFL);
}

// The outcome of a closed socket waits for room that nobody will make any more.
TEST_F(WireFullRing, ThatIsDestroyedGivesBackWhatClosedSocketsHaveLent) {
  Peer peer("sink seed=6 size=100");
  event_data_t ring[2];
  const ec_t channel = must(ec_create_ring(0, ring, 2), "ec_create_ring");
  Message block = Message::reserve(area_, 100);
  Pattern::of_size(6, 100).fill(block.data(), 0, block.size());
  Socket socket = Socket::make();
  must(ec_add_fd(channel, socket.get(), EC_DELIVER, nullptr), "ec_add_fd");
  socket.associate(area_, DMA_SEND).connect(peer.address());
  while (ec_post(channel, 0, nullptr) == 0) {
  }
  must(socket.send(block.bytes()), "send");
  socket.close();
  EXPECT_EQ(peer.expect("done"), "1 100");
  std::this_thread::sleep_for(milliseconds(200));  // until the socket has nothing else to wait for
  must(ec_destroy(channel), "ec_destroy");
  EXPECT_TRUE(eventually([&] { return sio_release(nullptr, block.data(), block.size()) == 0; }));
  block.give_up();
}

// What the ring had no room for goes with its socket.
TEST_F(WireFullRing, TellsNothingOfAListenerThatWasClosed) {
  for (int i = 0; i < 100; ++i) {
    fill_ring();
    Socket listener = Socket::make();
    listener.join(channel_).bind(Address::self()).listen();
    Socket socket = Socket::make(SOCK_NONBLOCK);
    ASSERT_EQ(socket.try_connect(listener.name()), EINPROGRESS);
    ASSERT_TRUE(eventually([&] { return (listener.ready() & EPOLLIN) != 0; }));
    listener.close();
    empty_ring();
    ASSERT_FALSE(channel_.try_next(milliseconds(0))) << i;
  }
}

}  // namespace
}  // namespace sio::test
