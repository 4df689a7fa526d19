// SPDX-License-Identifier: BSD-2-Clause
//
// Messages arrive whole, in order and once, whatever their sizes and however they are received.
#include <poll.h>

#include <cerrno>
#include <utility>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/sanitizers.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

// Messages that are further apart than 20 us are no burst, and under ThreadSanitizer on an emulated
// processor, where an emulated device is, all may be.
bool sends_in_bursts() { return on_soft() || !kThreadSanitizer; }

using WireMessages = WireTest;

TEST_F(WireMessages, HundredThousandOfRandomSizesBothWaysAtOnce) {
  const uint64_t count = scaled(100'000);
  const Area area(size_t{2} << 20);
  const Channel channel;
  Peer peer("exchange seed=11 count=" + std::to_string(count));
  Socket socket = Socket::make();
  socket.join(channel).associate(area, DMA_SEND).connect(peer.address());
  Outflow out(socket, Pattern(12), count, Lend::kMixed, &area);
  Inflow in(Pattern(11), count);
  exchange(channel, out, in);
  EXPECT_EQ(in.taken(), count);
  const auto done = split_words(peer.expect("done"));
  EXPECT_EQ(done.at(0), std::to_string(count));
  EXPECT_EQ(done.at(1), std::to_string(out.bytes()));
  const sio_info info = socket.info();
  EXPECT_EQ(info.messages_sent, count);
  EXPECT_EQ(info.messages_received, count);
  EXPECT_EQ(info.bytes_sent, out.bytes());
  EXPECT_EQ(info.bytes_received, in.bytes());
  if (sends_in_bursts()) {
    EXPECT_LT(info.sends_posted, count) << "small messages were never gathered";
  }
  socket.close();
  peer.finish();
}

// Sizes at which something changes: inline, cache lines, headers, MTUs, the slot.
constexpr size_t kBoundaries[] = {0,    1,    7,    8,    9,    15,   16,   17,   63,   64,   65,
                                  127,  128,  129,  255,  256,  257,  511,  512,  513,  1023, 1024,
                                  1025, 4087, 4088, 4095, 4096, 4097, 8183, 8184, 8185, 8191, 8192};

TEST_F(WireMessages, EverySizeAroundTheBoundariesComesBackAsItWas) {
  const Area area(size_t{1} << 20);
  Peer peer("echo way=blocking");
  Socket socket = Socket::make();
  socket.associate(area, DMA_SEND).connect(peer.address());
  for (const size_t size : kBoundaries) {
    SCOPED_TRACE(size);
    const Pattern pattern(size);
    Message block = Message::reserve(area, std::max(size, size_t{1}));
    pattern.fill(block.data(), 0, size);
    must(socket.send(block.bytes().first(size)), "send");
    const Message back = socket.receive();
    ASSERT_TRUE(back);
    ASSERT_EQ(back.size(), size);
    EXPECT_TRUE(pattern.matches(back.data(), 0, size));
    socket.flush();
  }
  socket.close();
  peer.finish();
}

TEST_F(WireMessages, BoundarySizesInOneGoArriveInOrder) {
  constexpr int kRounds = 20;
  const Area area(size_t{2} << 20);
  const Channel channel;
  Peer peer("echo");
  Socket socket = Socket::make();
  socket.join(channel).associate(area, DMA_SEND).connect(peer.address());
  uint64_t sent = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (const size_t size : kBoundaries) {
      Message block;
      if (size > 0) block = Message::reserve(area, size);
      Pattern::of_size(1, size).fill(block.data(), sent++, size);
      ASSERT_EQ(socket.try_send(block.data(), size, size > 0 ? SIO_RELEASE : 0), 0);
      block.give_up();
    }
    for (const size_t& size : kBoundaries) {
      const Message back(channel.skip_to(EC_RECV));
      ASSERT_EQ(back.size(), size);
      const uint64_t n = sent - std::size(kBoundaries) + static_cast<uint64_t>(&size - kBoundaries);
      EXPECT_TRUE(Pattern::of_size(1, size).matches(back.data(), n, size));
    }
  }
  socket.close();
  peer.finish();
}

// One at a time, so that each leaves at once and alone: from anywhere, lent, and given away, by
// turns.
TEST_F(WireMessages, InADialogueOfEveryKindComeBackAndGiveTheirBuffersBack) {
  constexpr Lend kKinds[] = {Lend::kCopy, Lend::kSent, Lend::kRelease, Lend::kSent};
  const Area area(size_t{1} << 20);
  const Channel channel;
  Peer peer("echo");
  Socket socket = Socket::make();
  socket.set(SIO_COPY_MAX, kSlot).join(channel).associate(area, DMA_SEND).connect(peer.address());
  std::vector<char> elsewhere(kSlot);
  for (uint64_t n = 0; n < scaled(2000); ++n) {
    const size_t size = kBoundaries[1 + n % (std::size(kBoundaries) - 1)];
    const Lend kind = kKinds[n % std::size(kKinds)];
    const Pattern pattern = Pattern::of_size(n, size);
    Message block = kind == Lend::kCopy ? Message() : Message::reserve(area, size);
    char* const from = kind == Lend::kCopy ? elsewhere.data() : block.data();
    pattern.fill(from, n, size);
    ASSERT_EQ(socket.try_send(from, size, kind == Lend::kRelease ? SIO_RELEASE : 0), 0);
    if (kind == Lend::kRelease) block.give_up();
    bool owed = kind == Lend::kSent;
    for (bool back = false; owed || !back;) {
      const event_data_t event = channel.next();
      if (event.kind == EC_SENT) {
        ASSERT_TRUE(std::exchange(owed, false)) << "EC_SENT of message " << n;
        ASSERT_EQ(event.data.buf, from);
        ASSERT_EQ(event.data.len, size);
        continue;
      }
      ASSERT_EQ(event.kind, EC_RECV);
      ASSERT_FALSE(std::exchange(back, true));
      const Message reply(event);
      ASSERT_EQ(reply.size(), size);
      ASSERT_TRUE(pattern.matches(reply.data(), n, size)) << "message " << n;
    }
  }
  EXPECT_EQ(socket.info().messages_sent, scaled(2000));
  EXPECT_EQ(socket.info().sends_posted, scaled(2000)) << "one waited for another";
  EXPECT_TRUE(eventually([&] {
    EXPECT_FALSE(channel.try_next(milliseconds(0)));
    return accounts(area.get()).free == area.bytes();
  }));
  socket.close();
  peer.finish();
}

// However many are under way: no other could travel with them. Nor does one that had to wait make
// those behind it wait.
TEST_F(WireMessages, OfMoreThanHalfASlotLeaveAtOnce) {
  constexpr size_t kSize = kSlot / 2 + 1;
  constexpr uint64_t kMany = 24;  // windows there are of 4, and slots enough
  const Area area(kMany * 2 * kSlot);
  Peer peer("sink way=blocking size=" + std::to_string(kSize));
  Socket socket = Socket::make();
  socket.associate(area, DMA_SEND).connect(peer.address());
  const Pattern pattern = Pattern::of_size(1, kSize);
  for (uint64_t n = 0; n < kMany; ++n) {
    Message block = Message::reserve(area, kSize);
    pattern.fill(block.data(), n, kSize);
    const bool waits = n == kMany / 2;
    const int flags = SIO_RELEASE | MSG_DONTWAIT | (waits ? MSG_MORE : 0);
    ASSERT_EQ(socket.try_send(block.data(), kSize, flags), 0);
    block.give_up();
    ASSERT_TRUE(waits || socket.info().sends_posted == n + 1) << n;
  }
  socket.close();
  EXPECT_EQ(peer.expect("done"), std::to_string(kMany) + ' ' + std::to_string(kMany * kSize));
}

TEST_F(WireMessages, OneByteMoreThanTheSlotIsRefusedAtOnce) {
  const Area area(size_t{1} << 20);
  Peer peer("echo way=blocking");
  Socket socket = Socket::make();
  socket.associate(area, DMA_SEND).connect(peer.address());
  const Message block = Message::reserve(area, kSlot + 1);
  EXPECT_EQ(socket.try_send(block.data(), kSlot + 1), EMSGSIZE);
  EXPECT_EQ(socket.get_option<uint64_t>(SIO_MAX_MESSAGE), kSlot);
  socket.send("the connection is none the worse");
  EXPECT_EQ(socket.receive().view(), "the connection is none the worse");
  socket.close();
  peer.finish();
}

TEST_F(WireMessages, OneThatIsTooLongForTheCallerStaysQueued) {
  Peer peer("echo way=blocking");
  Socket socket = Socket::make();
  socket.connect(peer.address());
  socket.send("ten bytes.");
  void* data = nullptr;
  EXPECT_EQ(sio_recv(socket.get(), &data, 9, 0), -1);
  EXPECT_EQ(errno, EMSGSIZE);
  const Message whole = socket.receive();
  EXPECT_EQ(whole.view(), "ten bytes.");
  socket.close();
  peer.finish();
}

TEST_F(WireMessages, AnEmptyMessageIsNotTheEnd) {
  Peer peer("echo way=blocking");
  Socket socket = Socket::make();
  socket.connect(peer.address());
  must(socket.send(std::span<const std::byte>()), "send");
  const Message empty = socket.receive();
  EXPECT_TRUE(empty);
  EXPECT_EQ(empty.size(), 0u);
  must(socket.shutdown(SHUT_WR), "shutdown");
  EXPECT_FALSE(socket.receive());
  socket.close();
  peer.finish();
}

// ------------------------------------------------------------------- each way to send and receive

struct Manner {
  const char* receiver;  // at the peer
  Way way;               // here
};

class WireManners : public WireTest, public testing::WithParamInterface<Manner> {};

INSTANTIATE_TEST_SUITE_P(All, WireManners,
                         testing::Values(Manner{"deliver", Way::kDeliver},
                                         Manner{"readable", Way::kReadable},
                                         Manner{"blocking", Way::kBlocking},
                                         Manner{"poll", Way::kPoll}),
                         [](const auto& info) { return std::string(info.param.receiver); });

TEST_P(WireManners, TakesAStreamOfTheRemotePeer) {
  const uint64_t count = scaled(2000);
  const Way way = GetParam().way;
  Peer peer("source seed=3 lend=mixed count=" + std::to_string(count));
  std::optional<Channel> channel;
  if (events_of(way) != 0) channel.emplace();
  Socket socket = Socket::make();
  if (channel) socket.join(*channel, events_of(way));
  socket.connect(peer.address());
  if (way == Way::kPoll) socket.set_nonblocking(true);
  Inflow in{Pattern(3)};
  receive_all(way, channel ? &*channel : nullptr, socket, in);
  EXPECT_EQ(in.taken(), count);
  socket.close();
  peer.finish();
}

TEST_P(WireManners, SendsAStreamToTheRemotePeer) {
  const uint64_t count = scaled(2000);
  Peer peer(std::string("sink seed=4 way=") + GetParam().receiver);
  const Area area(size_t{2} << 20);
  Socket socket = Socket::make();
  socket.associate(area, DMA_SEND).connect(peer.address());
  send_all_blocking(socket, Pattern(4), count, &area);
  EXPECT_EQ(socket.close(), 0);
  EXPECT_EQ(split_words(peer.expect("done")).at(0), std::to_string(count));
  peer.finish();
}

TEST_P(WireManners, AnswersOneByOne) {
  const uint64_t rounds = scaled(150);
  Peer peer(std::string("echo way=") + GetParam().receiver);
  const Way way = GetParam().way;
  std::optional<Channel> channel;
  if (events_of(way) != 0) channel.emplace();
  Socket socket = Socket::make();
  if (channel) socket.join(*channel, events_of(way));
  socket.connect(peer.address());
  const Pattern pattern(9, 1024);
  Inflow in(pattern, rounds);
  std::vector<char> data(1024);
  for (uint64_t n = 0; n < rounds; ++n) {
    pattern.fill(data.data(), n, pattern.size(n));
    ASSERT_EQ(socket.try_send(data.data(), pattern.size(n)), 0);
    in.take(receive_one(way, channel ? &*channel : nullptr, socket));
  }
  socket.close();
  EXPECT_EQ(peer.expect_number("ended"), rounds);
  peer.finish();
}

}  // namespace
}  // namespace sio::test
