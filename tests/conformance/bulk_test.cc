// SPDX-License-Identifier: BSD-2-Clause
//
// Messages larger than a slot.
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/sanitizers.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

constexpr size_t kSlotMemory = size_t{68} * kSlot;  // of receive memory that is cut into slots
constexpr size_t kMiB = size_t{1} << 20;

std::string bytes(size_t n) { return std::to_string(n); }

class WireBulk : public WireTest {
 protected:
  // Sends a block of that size, which carries message n of the pattern. False: no room now.
  static bool send_block(Socket& socket, const Area& area, const Pattern& pattern, uint64_t n,
                         int flags = SIO_RELEASE | MSG_DONTWAIT) {
    Message block = Message::reserve(area, pattern.size(n));
    pattern.fill(block.data(), n, block.size());
    const int error = socket.try_send(block.data(), block.size(), flags);
    if (error == EAGAIN) return false;
    EXPECT_EQ(error, 0) << std::strerror(error);
    if (error == 0) block.give_up();
    return true;
  }
};

TEST_F(WireBulk, ComeBackWhole) {
  Peer peer("echo receive=" + bytes(kSlotMemory + 8 * kMiB));
  const Channel channel;
  const Area area(32 * kMiB);
  Socket socket = Socket::make();
  socket.join(channel).associate(area, 0, kSlotMemory + 8 * kMiB).connect(peer.address());
  EXPECT_EQ(socket.get_option<uint64_t>(SIO_MAX_MESSAGE), 8 * kMiB);
  uint64_t large = 0;
  for (const size_t size : {kSlot - 1, kSlot, kSlot + 1, kSlot + 8, 2 * kSlot, kMiB - 1, kMiB,
                            kMiB + 1, 3 * kMiB + 17, 8 * kMiB}) {
    SCOPED_TRACE(size);
    large += size > kSlot;
    const Pattern pattern = Pattern::of_size(size, size);
    ASSERT_TRUE(send_block(socket, area, pattern, 0));
    const event_data_t event = channel.expect(EC_RECV);
    const Message message(event);
    EXPECT_EQ(event.data.mem, area.get());
    ASSERT_EQ(message.size(), size);
    EXPECT_TRUE(pattern.matches(message.data(), 0, size));
  }
  EXPECT_EQ(socket.info().bulk_sent, large);
  EXPECT_EQ(socket.info().bulk_received, large);
}

// As large as there may be. ThreadSanitizer takes a minute for each GiB even on an idle machine.
size_t very_large() {
  // soft-RoCE: as the machine's memory and its speed allow
  return (on_soft() && !kThreadSanitizer ? 1024 : 128) * kMiB;
}

TEST_F(WireBulk, MayBeVeryLarge) {
  const size_t size = very_large();
  allow_time(milliseconds(300'000));
  // It waits for us, however busy the machine is, to take note of its end.
  Peer peer("sink linger=120 seed=60 count=1 size=" + bytes(size) +
            " receive=" + bytes(kSlotMemory + size));
  const Area area(size);
  Socket socket = Socket::make();
  socket.associate(area, DMA_SEND).connect(peer.address());
  EXPECT_EQ(socket.get_option<uint64_t>(SIO_MAX_MESSAGE), size);
  ASSERT_TRUE(send_block(socket, area, Pattern::of_size(60, size), 0, SIO_RELEASE));
  socket.flush(milliseconds(250'000));
  EXPECT_EQ(peer.expect("done"), "1 " + bytes(size));
}

TEST_F(WireBulk, KeepTheirOrderAmongSmallOnes) {
  const uint64_t count = scaled(1000);
  const std::string largest = " largest=100000 receive=" + bytes(kSlotMemory + kMiB);
  Peer peer("exchange seed=61 send=8388608 count=" + std::to_string(count) + largest);
  const Channel channel;
  const Area send(8 * kMiB);
  const Area receive(kSlotMemory + kMiB);
  Socket socket = Socket::make();
  socket.join(channel).associate(receive, DMA_RECV).associate(send, DMA_SEND);
  socket.connect(peer.address());
  Outflow out(socket, Pattern(62, 100'000), count, Lend::kMixed, &send);
  Inflow in(Pattern(61, 100'000), count);
  exchange(channel, out, in);
  EXPECT_GT(socket.info().bulk_sent, count / 10);
  EXPECT_LT(socket.info().bulk_sent, count);
  socket.close();
  peer.finish();
}

// Each end has room for one message, and both send as fast as they can.
TEST_F(WireBulk, PassThroughTheSmallestMemoryThatTakesThemBothWaysAtOnce) {
  constexpr size_t kSize = 100'032;
  const uint64_t count = scaled(200);
  const size_t memory = size_t{6} * kSlot + kSize;
  const std::string size = " slots=2 size=" + bytes(kSize) + " receive=" + bytes(memory);
  Peer peer("exchange seed=63 count=" + std::to_string(count) + size);
  const Channel channel;
  const Area send(2 * kMiB);
  const Area receive(memory);
  Socket socket = Socket::make();
  socket.set(SIO_RECV_SLOTS, 2).join(channel);
  socket.associate(receive, DMA_RECV, memory).associate(send, DMA_SEND).connect(peer.address());
  EXPECT_EQ(socket.get_option<uint64_t>(SIO_MAX_MESSAGE), kSize);
  Outflow out(socket, Pattern::of_size(64, kSize), count, Lend::kMixed, &send);
  Inflow in(Pattern::of_size(63, kSize), count);
  exchange(channel, out, in);
  EXPECT_GT(socket.info().bulk_stalls, 0u);
  socket.close();
  peer.finish();
}

// While some are under way others wait to be announced, so that a SEND announces several.
TEST_F(WireBulk, AreAnnouncedTogetherWhenThereAreMany) {
  constexpr uint64_t kInFlight = 16;
  constexpr size_t kSize = 65536;
  const uint64_t count = 400;
  const std::string size = bytes(kSize);
  Peer peer("sink seed=65 count=400 size=" + size +
            " receive=" + bytes(kSlotMemory + 2 * kInFlight * kSize));
  const Channel channel;
  const Area area(kInFlight * kSize);
  Socket socket = Socket::make();
  socket.join(channel).associate(area, DMA_SEND).connect(peer.address());
  const Pattern pattern = Pattern::of_size(65, kSize);
  const auto end = Clock::now() + kSoon;
  uint64_t done = 0;
  for (uint64_t sent = 0; done < count;) {
    if (sent < count && sent - done < kInFlight &&
        send_block(socket, area, pattern, sent, MSG_DONTWAIT)) {
      ++sent;
      continue;
    }
    // It polls: what gathers leaves when a program goes to sleep, and how often one does that is
    // the scheduler's affair.
    ASSERT_LT(Clock::now(), end);
    const auto event = channel.try_next(milliseconds(0));
    if (!event || event->kind != EC_SENT) continue;
    ASSERT_EQ(event->error, 0);
    Message block(*event);
    ++done;
  }
  EXPECT_EQ(peer.expect("done"), "400 " + bytes(count * kSize));
  EXPECT_EQ(socket.info().bulk_sent, count);
  EXPECT_LT(socket.info().sends_posted, count / 2);
}

TEST_F(WireBulk, AreRefusedWhenThePeerCanNotTakeThem) {
  Peer peer("slow receive=" + bytes(kSlotMemory + kMiB));
  const Area area(4 * kMiB);
  Socket socket = Socket::make();
  socket.associate(area, DMA_SEND).connect(peer.address());
  EXPECT_EQ(socket.get_option<uint64_t>(SIO_MAX_MESSAGE), kMiB);
  const Message block = Message::reserve(area, kMiB + 1);
  EXPECT_EQ(socket.try_send(block.data(), kMiB + 1), EMSGSIZE);
  EXPECT_EQ(accounts(area.get()).in_flight, 0u) << "it is still the program's";
}

TEST_F(WireBulk, AreRefusedByAPeerWithSlotsOnly) {
  Peer peer("slow");
  const Area area(kMiB);
  Socket socket = Socket::make();
  socket.associate(area, DMA_SEND).connect(peer.address());
  EXPECT_EQ(socket.get_option<uint64_t>(SIO_MAX_MESSAGE), kSlot);
  const Message block = Message::reserve(area, kSlot + 1);
  EXPECT_EQ(socket.try_send(block.data(), kSlot + 1), EMSGSIZE);
}

// The receiver holds what it has: large ones wait, and what is behind them keeps its place.
TEST_F(WireBulk, WaitForMemoryAndForNothingElse) {
  const Pattern pattern = Pattern::of_size(65, 300'000);
  Peer peer("slow seed=65 size=300000 receive=" + bytes(kSlotMemory + kMiB));
  const Channel channel;
  const Area area(64 * kMiB);
  Socket socket = Socket::make();
  socket.join(channel).associate(area, DMA_SEND).connect(peer.address());
  uint64_t sent = 0;
  while (sent < 60) {  // as many as may be announced, if the device keeps up; else a little later
    if (send_block(socket, area, pattern, sent)) {
      ++sent;
    } else {
      channel.expect(EC_WRITABLE);
    }
  }
  while (send_block(socket, area, pattern, sent)) ++sent;
  EXPECT_LE(sent, 70u);
  peer.say("hold 3");
  peer.expect("hold 3");
  do {
    while (send_block(socket, area, pattern, sent)) ++sent;
  } while (channel.try_next(milliseconds(200)));
  EXPECT_FALSE(send_block(socket, area, pattern, sent)) << "it holds all that it has";
  EXPECT_EQ(socket.ready() & EPOLLOUT, 0u);
  peer.say("release");
  peer.expect("release");
  peer.say("take " + std::to_string(sent - 3));
  channel.expect(EC_WRITABLE);
  peer.expect("take " + std::to_string(sent - 3));
}

TEST_F(WireBulk, AreGivenBackInAnyOrder) {
  const uint64_t count = scaled(300);
  Peer peer("hoarder seed=66 largest=200000 receive=" + bytes(kSlotMemory + 2 * kMiB));
  const Channel channel;
  const Area area(16 * kMiB);
  Socket socket = Socket::make();
  socket.join(channel).associate(area, DMA_SEND).connect(peer.address());
  Outflow out(socket, Pattern(66, 200'000), count, Lend::kMixed, &area);
  Inflow nothing(Pattern(0), 0);
  exchange(channel, out, nothing);
  socket.close();
  EXPECT_EQ(split_words(peer.expect("done")).at(0), std::to_string(count));
  peer.finish();
}

TEST_F(WireBulk, BlockTheirSenderUntilThereIsRoom) {
  const uint64_t count = scaled(150);
  Peer peer("slow seed=67 slots=2 size=50000 receive=" + bytes(size_t{6} * kSlot + 100'032));
  const Area area(16 * kMiB);
  Socket socket = Socket::make();
  socket.associate(area, DMA_SEND).connect(peer.address());
  std::thread sender(
      [&] { send_all_blocking(socket, Pattern::of_size(67, 50'000), count, &area); });
  peer.say("drain");
  sender.join();
  socket.close();
  EXPECT_EQ(split_words(peer.expect("done")).at(0), std::to_string(count));
}

TEST_F(WireBulk, AreTakenInEveryWay) {
  for (const char* way : {"deliver", "readable", "blocking", "poll"}) {
    SCOPED_TRACE(way);
    Peer peer("echo way=" + std::string(way) + " receive=" + bytes(kSlotMemory + kMiB));
    const Area area(8 * kMiB);
    Socket socket = Socket::make();
    socket.associate(area, 0, kSlotMemory + kMiB).connect(peer.address());
    const Pattern pattern(68, 60'000);
    for (uint64_t n = 0; n < 30; ++n) {
      if (pattern.size(n) == 0) continue;
      ASSERT_TRUE(send_block(socket, area, pattern, n, SIO_RELEASE));
      const Message message = socket.receive();
      ASSERT_EQ(message.size(), pattern.size(n));
      EXPECT_TRUE(pattern.matches(message.data(), n, message.size()));
    }
  }
}

TEST_F(WireBulk, AreGatheredFromManyPlaces) {
  Peer peer("echo receive=" + bytes(kSlotMemory + 4 * kMiB));
  const Channel channel;
  const Area area(16 * kMiB);
  Socket socket = Socket::make();
  socket.join(channel).associate(area, 0, kSlotMemory + 4 * kMiB).connect(peer.address());
  const Message first = Message::reserve(area, kMiB + 5);
  const Message second = Message::reserve(area, 2 * kMiB + 1);
  std::memset(first.data(), 'a', first.size());
  std::memset(second.data(), 'b', second.size());
  std::array<char, 700> copied;
  copied.fill('c');
  std::array<iovec, 4> pieces{{{first.data(), first.size()},
                               {copied.data(), 400},
                               {second.data(), second.size()},
                               {copied.data(), 300}}};
  must(socket.send(pieces), "sio_sendmsg");
  copied.fill('x');  // it was taken
  const std::string whole = std::string(first.size(), 'a') + std::string(400, 'c') +
                            std::string(second.size(), 'b') + std::string(300, 'c');
  bool sent = false;
  bool received = false;
  while (!sent || !received) {
    const event_data_t event = channel.next();
    if (event.kind == EC_SENT) {
      EXPECT_FALSE(sent);
      EXPECT_EQ(event.data.buf, first.data());
      sent = true;
      continue;
    }
    ASSERT_EQ(event.kind, uint32_t{EC_RECV}) << kind_name(event.kind);
    EXPECT_EQ(Message(event).view(), whole);
    received = true;
  }
}

// The peer's slots are smaller than what may be copied.
TEST_F(WireBulk, AreCopiedWhenTheyAreSmall) {
  Peer peer("sink seed=69 size=1000 count=50 slot_size=256 receive=65536");
  Socket socket = Socket::make();
  socket.connect(peer.address());
  send_all_blocking(socket, Pattern::of_size(69, 1000), 50);
  socket.flush();
  EXPECT_EQ(peer.expect("done"), "50 50000");
  EXPECT_EQ(socket.info().bulk_sent, 50u);
}

TEST_F(WireBulk, ArriveBeforeTheEndOfWhoClosesAtOnce) {
  constexpr size_t kSize = 3 * kMiB;
  Peer peer("sink seed=70 size=" + bytes(kSize) + " receive=" + bytes(kSlotMemory + kSize));
  {
    const Area area(16 * kMiB);
    Socket socket = Socket::make();
    socket.set_linger(20).associate(area, DMA_SEND).connect(peer.address());
    for (uint64_t n = 0; n < 5; ++n) {
      ASSERT_TRUE(send_block(socket, area, Pattern::of_size(70, kSize), n, SIO_RELEASE));
    }
    socket.close();
  }
  EXPECT_EQ(peer.expect("done"), "5 " + bytes(5 * kSize));
}

TEST_F(WireBulk, AreFlushed) {
  Peer peer("slow seed=71 size=100000 receive=" + bytes(kSlotMemory + 200'064));
  const Area area(4 * kMiB);
  Socket socket = Socket::make();
  socket.associate(area, DMA_SEND).connect(peer.address());
  const Pattern pattern = Pattern::of_size(71, 100'000);
  for (uint64_t n = 0; n < 3; ++n) {
    ASSERT_TRUE(send_block(socket, area, pattern, n, SIO_RELEASE));
  }
  EXPECT_TRUE(socket.try_flush(milliseconds(0)).again());
  EXPECT_EQ(socket.try_flush(milliseconds(100)).error(), ETIMEDOUT) << "there is room for two";
  peer.say("take 3");
  socket.flush();
  EXPECT_EQ(accounts(area.get()).in_flight, 0u);
  peer.expect("take 3");
}

TEST_F(WireBulk, EachHaveTheirOutcomeWhenThePeerDies) {
  Peer peer("slow receive=" + bytes(kSlotMemory + kMiB));
  const Channel channel;
  const Area area(32 * kMiB);
  Socket socket = Socket::make();
  socket.join(channel).associate(area, DMA_SEND).connect(peer.address());
  Outflow out(socket, Pattern::of_size(72, 400'000), 40, Lend::kSent, &area);
  out.pump();
  const size_t lent = out.lent();
  EXPECT_GT(lent, 10u);
  channel.try_next(milliseconds(200));
  peer.kill();
  event_data_t event = channel.next();
  for (; event.kind != EC_HUP; event = channel.next()) {
    if (event.kind == EC_SENT) out.outcome(event);
  }
  EXPECT_LE(out.lent(), 1u) << "one was taken before the peer died";
}

TEST_F(WireBulk, AreDroppedByWhoReadsNoMore) {
  Peer peer("source seed=73 lend=mixed send=8388608 count=20 size=300000");
  const Area area(kSlotMemory + kMiB);
  Socket socket = Socket::make();
  socket.associate(area, DMA_RECV).connect(peer.address());
  must(socket.shutdown(SHUT_RD), "shutdown");
  peer.expect("sent");
  EXPECT_EQ(accounts(area.get()).received, 0u);
}

// ------------------------------------------------------------------------- ends and odd moments

TEST_F(WireBulk, OfWhichTheLastNeverComesAreNoOrderlyEnd) {
  Peer peer("raw-serve send=cut-short ms=0");
  const Area memory(kSlotMemory + kMiB);
  Socket socket = Socket::make();
  socket.associate(memory, DMA_RECV).connect(peer.address());
  peer.expect("sent");
  ASSERT_EQ(socket.peek().bytes.size(), 3u);
  peer.say("bye");  // and is gone
  ASSERT_TRUE(eventually([&] { return (socket.ready() & EPOLLHUP) != 0; }));
  EXPECT_EQ(socket.receive().size(), 3u);
  EXPECT_EQ(socket.try_receive().status.error(), ECONNRESET);
}

TEST_F(WireBulk, ThatWereNotAnnouncedYetAreNotGranted) {
  Peer peer("raw-serve greeting=two-slots told=1 send=early-grant");
  const Area area(kMiB);
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).associate(area, DMA_SEND).connect(peer.address());
  const Message small = Message::reserve(area, 100);
  const Message large = Message::reserve(area, 20'000);
  for (int i = 0; i < 3; ++i) must(socket.send(small.bytes()), "sio_send");
  // No credit is left: what follows waits in the train.
  must(socket.send(large.bytes()), "sio_send");
  must(socket.send(small.bytes()), "sio_send");
  peer.say("go");
  for (int i = 0; i < 5; ++i) {
    const int error = channel.expect(EC_SENT).error;
    EXPECT_TRUE(error == EPROTO || (i < 2 && error == 0)) << i << ": " << error;
  }
  EXPECT_EQ(channel.expect(EC_HUP).error, EPROTO);
  EXPECT_EQ(accounts(area.get()).in_flight, 0u);
}

using BulkPairs = DeviceTest;

// More than may be granted at once come while the program looks elsewhere; then it takes them all.
TEST_F(BulkPairs, GoOnComingWhenTheProgramTakesThem) {
  constexpr uint64_t kMessages = 60;
  const Area memory(kSlotMemory + 4 * kMiB);
  Socket listener = Socket::make();
  listener.set(SIO_KEEPALIVE_MS, 0).associate(memory, DMA_RECV).bind(Address::self()).listen();
  const Area area(kMiB);
  const Channel channel;
  Socket near = Socket::make(SOCK_NONBLOCK);
  near.set(SIO_KEEPALIVE_MS, 0).associate(area, DMA_SEND).join(channel);
  EXPECT_EQ(near.try_connect(listener.name()), EINPROGRESS);
  Socket far = listener.accept();
  channel.expect(EC_CONNECT);
  const Pattern pattern = Pattern::of_size(1, 10'000);
  std::vector<Message> blocks;
  for (uint64_t i = 0; i < kMessages; ++i) {
    blocks.push_back(Message::reserve(area, 10'000));
    pattern.fill(blocks.back().data(), i, 10'000);
    must(near.send(blocks.back().bytes()), "sio_send");
  }
  for (int acknowledged = 0; acknowledged < 32;) {
    (void)far.peek(MSG_DONTWAIT);
    const auto event = channel.try_next(milliseconds(10));
    acknowledged += event && event->kind == EC_SENT ? 1 : 0;
  }
  for (uint64_t i = 0; i < kMessages; ++i) {
    const auto start = Clock::now();
    const Message message = far.receive();
    EXPECT_TRUE(pattern.matches(message.data(), i, message.size()));
    EXPECT_LT(since(start), milliseconds(4000)) << i;
  }
  for (uint64_t i = 32; i < kMessages; ++i) channel.expect(EC_SENT);
}

TEST_F(BulkPairs, AreAskedForAndPeekedAtInOneChannelOfMany) {
  constexpr size_t kConnections = 24;  // more than one completion queue
  const Channel channel;
  const Area memory(kConnections * (6 * kSlot + 65'536));
  Socket listener = Socket::make();
  listener.set(SIO_RECV_SLOTS, 2);
  listener.associate(memory, DMA_RECV, 6 * kSlot + 65'536).bind(Address::self()).listen();
  const Area area(4 * kMiB);
  std::vector<Socket> near;
  std::vector<Socket> far;
  while (near.size() < kConnections) {
    near.push_back(Socket::make(SOCK_NONBLOCK));
    near.back().associate(area, DMA_SEND);
    EXPECT_EQ(near.back().try_connect(listener.name()), EINPROGRESS);
    far.push_back(listener.accept(channel));
    ASSERT_TRUE(eventually([&] { return (near.back().ready() & EPOLLOUT) != 0; }));
  }
  for (Socket& one : near) {
    Message block = Message::reserve(area, 50'000);
    one.set_nonblocking(false);
    must(one.send(std::move(block)), "sio_send");
    const Message received(channel.skip_to(EC_RECV));
    EXPECT_EQ(received.size(), 50'000u);
  }
}

// The memory is associated with a socket that tries again after a failure, and it is all there is.
TEST_F(BulkPairs, HaveTheirMemoryAgainAfterAConnectThatFailed) {
  const size_t all = kSlotMemory + kMiB;
  const Area memory(all);
  Socket nobody = Socket::make();
  nobody.bind(Address::self());
  const Address closed = nobody.name();
  nobody.close();
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Socket socket = Socket::make();
  socket.associate(memory, DMA_RECV);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(socket.try_connect(closed), ECONNREFUSED);
  Socket far;
  std::thread accepting([&] { far = listener.accept(); });
  EXPECT_EQ(socket.try_connect(listener.name()), 0);
  accepting.join();
  EXPECT_EQ(socket.get_option<uint64_t>(SIO_MAX_MESSAGE), kSlot) << "the peer's";
}

TEST_F(BulkPairs, AreTakenAfterTheMemoryWasDissociated) {
  const Area memory(kSlotMemory + kMiB);
  Socket listener = Socket::make();
  listener.associate(memory, DMA_RECV).bind(Address::self()).listen();
  const Area area(kMiB);
  Socket near = Socket::make(SOCK_NONBLOCK);
  near.associate(area, DMA_SEND);
  EXPECT_EQ(near.try_connect(listener.name()), EINPROGRESS);
  Socket far = listener.accept();
  listener.close();
  ASSERT_TRUE(eventually([&] { return (near.ready() & EPOLLOUT) != 0; }));
  near.set_nonblocking(false);
  Message block = Message::reserve(area, 10'000);
  must(near.send(std::move(block)), "sio_send");
  ASSERT_TRUE(eventually([&] { return far.peek(MSG_DONTWAIT).bytes.size() == 10'000; }));
  near.close();
  ASSERT_TRUE(eventually([&] { return far.disassociate(memory).error() != EBUSY; }));
  EXPECT_EQ(far.receive().size(), 10'000u);
  EXPECT_FALSE(far.receive());
}

// A listener's association is the template; each connection has memory of its own.
TEST_F(BulkPairs, HaveMemoryOfTheirOwn) {
  const size_t each = size_t{6} * kSlot + 65'536;
  const Area memory(3 * each);
  Socket listener = Socket::make();
  listener.set(SIO_RECV_SLOTS, 2).associate(memory, DMA_RECV, each).bind(Address::self()).listen();
  const Area area(kMiB);
  std::vector<Socket> near;
  std::vector<Socket> far;
  std::vector<Message> held;
  for (int i = 0; i < 3; ++i) {
    near.push_back(Socket::make(SOCK_NONBLOCK));
    near.back().associate(area, DMA_SEND);
    EXPECT_EQ(near.back().try_connect(listener.name()), EINPROGRESS);
    far.push_back(listener.accept());
    near.back().set_nonblocking(false);
    const Message block = Message::reserve(area, 65'536);
    ASSERT_TRUE(eventually([&] { return (near.back().ready() & EPOLLOUT) != 0; }));
    must(near.back().send(block.bytes()), "send");
    held.push_back(far.back().receive());
    near.back().flush();
  }
  EXPECT_EQ(accounts(memory.get()).received, size_t{3} * 65'536);
  far.clear();  // what was received outlives the sockets
  EXPECT_EQ(held.front().size(), 65'536u);
  held.clear();
  EXPECT_TRUE(eventually([&] { return accounts(memory.get()).received == 0; }));
}

TEST_F(BulkPairs, CanBeForwardedAndTheMemoryIsLentOnce) {
  const Area memory(kSlotMemory + kMiB);
  Socket listener = Socket::make();
  listener.associate(memory, 0, kSlotMemory + kMiB).bind(Address::self()).listen();
  const Area area(kSlotMemory + 4 * kMiB);
  Socket near = Socket::make(SOCK_NONBLOCK);
  near.associate(area, 0, kSlotMemory + kMiB);
  EXPECT_EQ(near.try_connect(listener.name()), EINPROGRESS);
  Socket far = listener.accept();
  near.set_nonblocking(false);
  ASSERT_TRUE(eventually([&] { return (near.ready() & EPOLLOUT) != 0; }));
  const Message block = Message::reserve(area, kMiB);
  std::memset(block.data(), 'f', block.size());
  must(near.send(block.bytes()), "send");
  Message received = far.receive();
  EXPECT_EQ(far.try_send(received.data(), received.size() - 1, SIO_RELEASE), EINVAL);
  EXPECT_EQ(far.try_send(received.data(), received.size(), SIO_RELEASE), 0);
  EXPECT_EQ(Buffer(received.data(), received.size()).release().error(), EINVAL)
      << "it is in flight";
  received.give_up();
  EXPECT_EQ(near.receive().view(), block.view());
  far.flush();
  EXPECT_EQ(accounts(memory.get()).received, 0u);
}

TEST_F(BulkPairs, AreAskedForAndPeekedAtLikeOthers) {
  const Area memory(kSlotMemory + kMiB);
  Socket listener = Socket::make();
  listener.associate(memory, DMA_RECV).bind(Address::self()).listen();
  const Area area(2 * kMiB);
  Socket near = Socket::make(SOCK_NONBLOCK);
  near.associate(area, DMA_SEND);
  EXPECT_EQ(near.try_connect(listener.name()), EINPROGRESS);
  Socket far = listener.accept();
  near.set_nonblocking(false);
  ASSERT_TRUE(eventually([&] { return (near.ready() & EPOLLOUT) != 0; }));
  const Message block = Message::reserve(area, 100'000);
  must(near.send(block.bytes()), "send");
  const auto peeked = far.peek();
  ASSERT_EQ(peeked.bytes.size(), 100'000u);
  void* const at = const_cast<std::byte*>(peeked.bytes.data());
  EXPECT_EQ(Buffer(at, 100'000).release().error(), EINVAL) << "it is still the library's";
  EXPECT_EQ(far.try_receive(0, 99'999).status.error(), EMSGSIZE);
  EXPECT_EQ(far.receive().size(), 100'000u);
  near.flush();
}

}  // namespace
}  // namespace sio::test
