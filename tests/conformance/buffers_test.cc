// SPDX-License-Identifier: BSD-2-Clause
//
// Who owns a buffer, from sio_reserve or EC_RECV to EC_SENT, SIO_RELEASE or sio_release.
#include <cerrno>
#include <csignal>
#include <cstring>
#include <set>
#include <thread>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

class WireBuffers : public WireTest {
 protected:
  // A connection to a peer that sends everything back.
  Socket connect_to(Peer& peer) {
    Socket socket = Socket::make();
    socket.join(channel_).associate(area_, DMA_SEND).connect(peer.address());
    return socket;
  }

  Message block_with(const char* text) {
    Message block = Message::reserve(area_, std::strlen(text));
    std::memcpy(block.data(), text, block.size());
    return block;
  }

  // To the last of them for good.
  static void send_to_all(std::vector<Socket>& sockets, Message& message) {
    for (Socket& socket : sockets) {
      const int flags = &socket == &sockets.back() ? SIO_RELEASE : 0;
      must(socket.send(message.bytes(), flags), "send");
    }
    message.give_up();
  }

  // Takes the echoes of `sockets`, and the EC_SENT; how many of these.
  size_t count_until_all_are_back(size_t sockets, const Pattern* pattern = nullptr) {
    size_t sent = 0;
    for (size_t back = 0; back < sockets || sent + 1 < sockets;) {
      const event_data_t event = channel_.next();
      if (event.kind == EC_SENT) ++sent;
      if (event.kind != EC_RECV) continue;
      ++back;
      const Message message(event);
      EXPECT_TRUE(pattern == nullptr || pattern->matches(message.data(), 0, message.size()));
    }
    return sent;
  }

  Area area_{size_t{1} << 20};
  Channel channel_;
};

TEST_F(WireBuffers, AreTheLibrarysUntilSent) {
  Peer peer("echo");
  Socket socket = connect_to(peer);
  Message block = block_with("lent");
  must(socket.send(block.bytes()), "send");
  const event_data_t sent = channel_.skip_to(EC_SENT);
  EXPECT_EQ(sent.fd, socket.get());
  EXPECT_EQ(sent.error, 0);
  EXPECT_EQ(sent.data.buf, block.data());
  EXPECT_EQ(sent.data.len, block.size());
  EXPECT_EQ(sent.data.mem, area_.get());
  EXPECT_EQ(accounts(area_.get()).in_flight, 0u);
  EXPECT_GT(accounts(area_.get()).reserved, 0u);
  block = Message();
  EXPECT_EQ(accounts(area_.get()).reserved, 0u);
  socket.close();
  peer.finish();
}

// Acknowledged is not enough: else an EC_SENT could name a block that is another's by then.
TEST_F(WireBuffers, AreTheLibrarysUntilTheEventIsTaken) {
  Peer peer("serve then=drain");
  Socket socket = connect_to(peer);
  Message block = block_with("lent");
  must(socket.send(block.bytes()), "send");
  must(channel_.wait(kSoon), "wait");
  EXPECT_EQ(accounts(area_.get()).reserved, 0u);
  EXPECT_GT(accounts(area_.get()).in_flight, 0u);
  EXPECT_EQ(Buffer(block.data(), block.size()).release().error(), EINVAL);
  EXPECT_EQ(channel_.expect(EC_SENT).data.buf, block.data());
  EXPECT_EQ(accounts(area_.get()).in_flight, 0u);
}

TEST_F(WireBuffers, AreOursAfterAFlushWhateverEventsWait) {
  Peer peer("serve then=drain");
  Socket socket = connect_to(peer);
  {
    const Message block = block_with("lent");
    must(socket.send(block.bytes()), "send");
    socket.flush();
    EXPECT_EQ(accounts(area_.get()).in_flight, 0u);
  }
  const Message other = block_with("anew");
  must(socket.send(other.bytes()), "send");
  channel_.expect(EC_SENT);  // of the first
  EXPECT_GT(accounts(area_.get()).in_flight, 0u);
  channel_.expect(EC_SENT);
  EXPECT_EQ(accounts(area_.get()).in_flight, 0u);
}

TEST_F(WireBuffers, GoBackToTheirAreaByThemselvesWithSioRelease) {
  Peer peer("echo");
  Socket socket = connect_to(peer);
  Message block = block_with("given away");
  must(socket.send(block.bytes(), SIO_RELEASE), "send");
  block.give_up();
  const Message back(channel_.expect(EC_RECV));  // and no EC_SENT before it
  EXPECT_EQ(back.view(), "given away");
  EXPECT_TRUE(eventually([&] {
    EXPECT_FALSE(channel_.try_next(milliseconds(0)));
    return accounts(area_.get()).free == area_.bytes();
  }));
  socket.close();
  peer.finish();
}

TEST_F(WireBuffers, FromElsewhereAreCopiedAndFreeOnReturn) {
  Peer peer("echo");
  Socket socket = connect_to(peer);
  char text[] = "first";
  ASSERT_EQ(socket.try_send(text, 5), 0);
  std::memcpy(text, "XXXXX", 5);
  EXPECT_EQ(Message(channel_.expect(EC_RECV)).view(), "first");
  EXPECT_FALSE(channel_.try_next(milliseconds(50))) << "an event for a message that was copied";
  socket.close();
  peer.finish();
}

TEST_F(WireBuffers, FromElsewhereAreCopiedUpToTheLimitOnly) {
  Peer peer("echo");
  Socket socket = connect_to(peer);
  const std::vector<char> plain(8192, 'x');
  EXPECT_EQ(socket.try_send(plain.data(), 1024), 0);
  EXPECT_EQ(socket.try_send(plain.data(), 1025), EFAULT);
  socket.set(SIO_COPY_MAX, 8192);
  EXPECT_EQ(socket.try_send(plain.data(), 8192), 0);
  socket.set(SIO_COPY_MAX, 0);
  EXPECT_EQ(socket.try_send(plain.data(), 1), EFAULT);
  EXPECT_EQ(Message(channel_.expect(EC_RECV)).size(), 1024u);
  EXPECT_EQ(Message(channel_.expect(EC_RECV)).size(), 8192u);
  socket.close();
  peer.finish();
}

TEST_F(WireBuffers, MayBeSentInParts) {
  Peer peer("echo");
  Socket socket = connect_to(peer);
  const Message block = block_with("one two three");
  ASSERT_EQ(socket.try_send(block.data() + 4, 3), 0);
  EXPECT_EQ(socket.try_send(block.data() + 4, 3, SIO_RELEASE), EINVAL);
  EXPECT_EQ(channel_.skip_to(EC_SENT).data.buf, block.data() + 4);
  socket.close();
  peer.finish();
}

TEST_F(WireBuffers, OfOneBlockGoToSeveralSocketsAndComeBackAfterTheLast) {
  Peer peer("echo connections=4");
  std::vector<Socket> sockets;
  while (sockets.size() < 4) sockets.push_back(connect_to(peer));
  Message block = block_with("for all");
  send_to_all(sockets, block);
  EXPECT_EQ(count_until_all_are_back(sockets.size()), sockets.size() - 1) << "EC_SENT";
  EXPECT_TRUE(eventually([&] { return accounts(area_.get()).free == area_.bytes(); }));
  EXPECT_FALSE(channel_.try_next(milliseconds(0)));
  sockets.clear();
  peer.finish();
}

TEST_F(WireBuffers, OfOneBlockAreToldOfOnceForEachSocket) {
  Peer peer("echo connections=3");
  std::vector<Socket> sockets;
  while (sockets.size() < 3) sockets.push_back(connect_to(peer));
  const Message block = block_with("three times");
  for (Socket& socket : sockets) {
    must(socket.send(block.bytes()), "send");
  }
  std::multiset<int> told;
  std::multiset<int> wanted;
  for (const Socket& socket : sockets) wanted.insert(socket.get());
  for (int left = 6; left > 0; --left) {
    const event_data_t event = channel_.next();
    if (event.kind == EC_SENT) told.insert(event.fd);
    if (event.kind == EC_RECV) Message taken(event);
  }
  EXPECT_EQ(told, wanted);
  sockets.clear();
  peer.finish();
}

TEST_F(WireBuffers, ThatWereReceivedAreForwardedToSeveralSocketsWithoutACopy) {
  Peer source("source size=4096 count=1 lend=mixed");
  Peer echo("echo connections=3");
  const Channel inward;
  Socket from = Socket::make();
  from.join(inward).connect(source.address());
  Message message(inward.expect(EC_RECV));
  dma_mem_t receive_area = from.get_option<dma_mem_t>(SIO_AREA);
  std::vector<Socket> sockets(3);
  for (Socket& socket : sockets) {
    socket = Socket::make();
    must(dma_assoc(socket.get(), receive_area, 0, DMA_SEND), "dma_assoc");
    socket.join(channel_).connect(echo.address());
  }
  const Pattern pattern = Pattern::of_size(1, 4096);
  send_to_all(sockets, message);
  EXPECT_EQ(count_until_all_are_back(3, &pattern), 2u) << "EC_SENT";
  sockets.clear();
  from.close();
  echo.finish();
  source.finish();
}

// The slot of a message that was sent on to two comes back with the second EC_SENT, by whatever
// call that is taken and whatever its thread does afterwards: its sender has no other credit.
class WireSlots : public WireBuffers, public testing::WithParamInterface<bool> {
 protected:
  // Polls until it has one EC_SENT, then ends.
  void take_one_sent() {
    std::thread([&] {
      event_data_t event;
      const auto one = [&] {
        return GetParam() ? ec_next_event(channel_.get(), &event) == 0
                          : ec_next_events(channel_.get(), &event, 1) == 1;
      };
      const auto begin = Clock::now();
      bool taken = false;
      while (!taken && since(begin) < kSoon) taken = one();
      EXPECT_TRUE(taken);
      EXPECT_EQ(event.kind, EC_SENT);
    }).join();
  }
};

TEST_P(WireSlots, OfForwardedMessagesComeBackWithTheLastEventOfThem) {
  if (!on_soft()) GTEST_SKIP() << "a device acknowledges for a program that stands still, too";
  Peer source("source seed=1 size=500 count=20 nodelay=1");
  Peer first("slow");
  Peer second("slow");
  Socket from = Socket::make();
  from.set(SIO_RECV_SLOTS, 4).join(channel_).associate(area_).connect(source.address());
  Socket to_first = connect_to(first);
  Socket to_second = connect_to(second);
  std::vector<Message> held;
  while (held.size() < 4) held.emplace_back(channel_.expect(EC_RECV));
  EXPECT_FALSE(channel_.try_next(milliseconds(50))) << "there were four slots";
  first.stop();
  Message& message = held.back();
  must(to_first.send(message.bytes()), "send");
  must(to_second.send(message.bytes(), SIO_RELEASE), "send");
  message.give_up();
  event_data_t event;
  EXPECT_FALSE(
      eventually([&] { return ec_next_event(channel_.get(), &event) == 0; }, milliseconds(100)));
  first.signal(SIGCONT);
  take_one_sent();
  const auto last = channel_.try_next(milliseconds(5000));  // before anything else looks after it
  ASSERT_TRUE(last) << "the slot has not come back";
  held.back() = Message(*last);
}

INSTANTIATE_TEST_SUITE_P(All, WireSlots, testing::Bool(), [](const auto& info) {
  return info.param ? "OneEvent" : "SeveralEvents";
});

// With a window that never closes nothing else asks for a signal.
TEST_F(WireBuffers, ForCopiesComeBackHoweverWideTheWindowIs) {
  Peer source("source seed=1 size=1000 count=200 nodelay=1", {"SIO_SEND_WINDOW=32"});
  Socket socket = Socket::make();
  socket.join(channel_).connect(source.address());
  for (int n = 0; n < 200; ++n) Message(channel_.expect(EC_RECV));
  channel_.expect(EC_EOF);
}

TEST_F(WireBuffers, OfASocketWithoutChannelAreOursAfterAFlush) {
  Peer peer("sink way=blocking size=1000");
  Socket socket = Socket::make();
  socket.associate(area_, DMA_SEND).connect(peer.address());
  const Pattern pattern = Pattern::of_size(1, 1000);
  std::vector<Message> blocks;
  for (uint64_t n = 0; n < 40; ++n) {
    blocks.push_back(Message::reserve(area_, 1000));
    pattern.fill(blocks.back().data(), n, 1000);
    ASSERT_EQ(socket.try_send(blocks.back().data(), 1000), 0);
  }
  socket.flush();
  EXPECT_EQ(accounts(area_.get()).in_flight, 0u);
  blocks.clear();
  EXPECT_EQ(accounts(area_.get()).free, area_.bytes());
  socket.close();
  EXPECT_EQ(peer.expect("done"), "40 40000");
}

TEST_F(WireBuffers, OfAReceivedMessageOutliveItsSocketAndItsChannel) {
  Peer peer("source size=5000 count=1 lend=mixed");
  Message message;
  {
    const Channel channel;
    Socket socket = Socket::make();
    socket.join(channel).connect(peer.address());
    message = Message(channel.expect(EC_RECV));
  }
  EXPECT_TRUE(Pattern::of_size(1, 5000).matches(message.data(), 0, 5000));
  std::memset(message.data(), 'x', message.size());  // it is ours, and still mapped
}

TEST_F(WireBuffers, OfAnAreaInFlightCanNotBeReleased) {
  Peer peer("slow slots=2");
  Socket socket = connect_to(peer);
  std::vector<Message> lent;
  int error = 0;
  while (error == 0) {  // until the peer's slots are full: what is sent now stays in flight
    lent.push_back(Message::reserve(area_, 512));
    error = socket.try_send(lent.back().data(), 512, MSG_DONTWAIT);
  }
  EXPECT_EQ(error, EAGAIN);
  Message& held = lent.at(lent.size() - 2);
  EXPECT_GT(accounts(area_.get()).in_flight, 0u);
  EXPECT_EQ(sio_release(area_.get(), held.data(), held.size()), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(dma_free(area_.get(), area_.bytes()), -1);
  EXPECT_EQ(errno, EBUSY);
  socket.set_linger(0).close();
  // Each has its outcome, then they can be.
  for (size_t left = lent.size() - 1; left > 0; --left) channel_.skip_to(EC_SENT);
}

}  // namespace
}  // namespace sio::test
