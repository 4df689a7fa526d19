// SPDX-License-Identifier: BSD-2-Clause
//
// <sio/sio.hpp>: what it adds to the calls. (That these do what they should is tested elsewhere.)
#include <fcntl.h>
#include <netinet/in.h>
#include <sio/sio.hpp>
#include <sys/mman.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <type_traits>
#include <vector>

#include "conformance/fixtures.h"
#include "conformance/peer.h"

namespace sio::test {
namespace {

using namespace std::chrono_literals;

// A socket to `peer`.
sio::Socket to(Peer& peer, const sio::Channel* channel = nullptr, const sio::Area* area = nullptr) {
  sio::Socket socket(peer.address().family());
  if (channel != nullptr) socket.join(*channel);
  if (area != nullptr) socket.associate(*area, DMA_SEND);
  sockaddr_storage name{};
  std::memcpy(&name, peer.address().get(), peer.address().size());
  socket.connect(name);
  return socket;
}

// The next event of this kind.
event_data_t await(const sio::Channel& channel, uint32_t kind) {
  for (;;) {
    while (const auto event = channel.next()) {
      if (event->kind == kind) return *event;
    }
    if (!channel.wait(kSoon)) fail("no %s in time", kind_name(kind));
  }
}

size_t reserved(const sio::Area& area) { return area.stat().reserved; }

template <typename Owner>
constexpr bool kIsOwner =
    std::is_nothrow_move_constructible_v<Owner>&& std::is_nothrow_move_assignable_v<Owner> &&
    !std::is_copy_constructible_v<Owner> && std::is_nothrow_default_constructible_v<Owner>;
static_assert(kIsOwner<sio::Area> && kIsOwner<sio::Buffer> && kIsOwner<sio::Channel> &&
              kIsOwner<sio::Socket>);

using WireCpp = WireTest;
using Cpp = PlainTest;

TEST_F(WireCpp, BufferReleasesItselfOnce) {
  const sio::Area area(65536);
  sio::Buffer first = area.reserve(1000);
  ASSERT_TRUE(first);
  EXPECT_EQ(first.bytes().size(), 1000u);
  EXPECT_EQ(reserved(area), 1024u);
  sio::Buffer second = std::move(first);
  EXPECT_FALSE(first);
  EXPECT_EQ(reserved(area), 1024u);
  second = area.reserve(100);
  EXPECT_EQ(reserved(area), 128u);
  second = {};
  EXPECT_EQ(reserved(area), 0u);
  EXPECT_FALSE(area.reserve(65537));
  EXPECT_EQ(errno, EMSGSIZE);
}

TEST_F(WireCpp, MessagesGoThereAndBack) {
  Peer peer("echo");
  const sio::Socket socket = to(peer);
  ASSERT_TRUE(socket.send("hello"));
  const auto [status, message] = socket.receive();
  ASSERT_TRUE(status);
  EXPECT_EQ(message.text(), "hello");
  EXPECT_TRUE(socket.receive(MSG_DONTWAIT).status.again());
  EXPECT_TRUE(socket.flush());
  EXPECT_TRUE(socket.flush(1s));
  ASSERT_TRUE(socket.shutdown(SHUT_WR));
  const auto end = socket.receive();
  EXPECT_TRUE(end.status);
  EXPECT_FALSE(end.buffer);
  EXPECT_EQ(socket.send("more").error(), EPIPE);
}

TEST_F(WireCpp, BufferThatIsSentIsGivenAway) {
  Peer peer("echo");
  const sio::Area area(65536);
  const sio::Channel channel(0u);
  const sio::Socket socket = to(peer, &channel, &area);
  sio::Buffer buffer = area.reserve(64);
  std::memset(buffer.data(), 'x', 64);
  ASSERT_TRUE(socket.send(std::move(buffer)));
  EXPECT_FALSE(buffer);
  const event_data_t event = await(channel, EC_RECV);
  EXPECT_EQ(sio::buffer_of(event).text(), std::string(64, 'x'));
  EXPECT_TRUE(socket.flush());
  EXPECT_EQ(area.stat().free, area.size());
  sio::Buffer large = area.reserve(40'000);
  EXPECT_EQ(socket.send(std::move(large)).error(), EMSGSIZE);
  EXPECT_TRUE(large) << "not sent, so still ours";
}

TEST_F(WireCpp, DatagramsGoThereAndBack) {
  Peer peer("datagram-echo");
  sockaddr_storage name{};
  std::memcpy(&name, peer.address().get(), peer.address().size());
  const sio::Area area(65536);
  sio::Socket socket(peer.address().family(), SOCK_DGRAM);
  socket.associate(area, DMA_SEND);
  EXPECT_EQ(socket.receive_from().status.error(), ENOTCONN);
  ASSERT_TRUE(socket.send_to(name, "hello"));
  const auto [status, message, from] = socket.receive_from();
  ASSERT_TRUE(status);
  EXPECT_EQ(message.text(), "hello");
  EXPECT_EQ(Address(reinterpret_cast<const sockaddr*>(&from)), peer.address());
  EXPECT_TRUE(socket.receive_from(MSG_DONTWAIT).status.again());
  sio::Buffer buffer = area.reserve(64);
  std::memset(buffer.data(), 'x', 64);
  ASSERT_TRUE(socket.send_to(name, std::move(buffer)));
  EXPECT_FALSE(buffer);
  EXPECT_EQ(socket.receive_from().buffer.size(), 64u);
  buffer = area.reserve(64);
  std::memset(buffer.data(), 'y', 64);
  const std::vector<iovec> places{{buffer.data(), 10}, {buffer.data(), 20}};
  ASSERT_TRUE(socket.send_to(name, places));
  EXPECT_EQ(socket.receive_from().buffer.text(), std::string(30, 'y'));
  ASSERT_TRUE(socket.send_to(name, "end"));
  EXPECT_TRUE(socket.flush());
  peer.finish();
}

TEST_F(WireCpp, MessagesFromSeveralPlacesComeInPieces) {
  Peer peer("echo");
  const sio::Area area(65536);
  const sio::Socket socket = to(peer, nullptr, &area);
  const sio::Buffer lent = area.reserve(64);
  std::memset(lent.data(), 'x', 64);
  char copied[] = "copied";
  const std::vector<iovec> places{{copied, 6}, {lent.data(), 64}};
  ASSERT_TRUE(socket.send(places));
  std::vector<iovec> room(3);
  const auto [status, pieces] = socket.receive_pieces(room);
  ASSERT_TRUE(status);
  ASSERT_EQ(pieces.size(), 1u) << "a message is in one";
  EXPECT_EQ(pieces.data(), room.data());
  EXPECT_EQ(sio::Buffer(pieces[0].iov_base, pieces[0].iov_len).text(),
            "copied" + std::string(64, 'x'));
  EXPECT_TRUE(socket.receive_pieces(room, MSG_DONTWAIT).status.again());
  ASSERT_TRUE(socket.shutdown(SHUT_WR));
  const auto end = socket.receive_pieces(room);
  EXPECT_TRUE(end.status);
  EXPECT_TRUE(end.pieces.empty());
}

TEST_F(WireCpp, BytesAreReleasedFromTheFront) {
  Peer peer("bytes-echo");
  sio::Socket socket(peer.address().family(), SOCK_STREAM);
  socket.connect(peer.address().storage());
  ASSERT_TRUE(socket.send("abcdef"));
  sio::Buffer bytes = socket.receive(0, 4).buffer;
  ASSERT_EQ(bytes.text(), "abcd");
  EXPECT_EQ(bytes.release_front(5).error(), EINVAL);
  EXPECT_TRUE(bytes.release_front(3));
  EXPECT_EQ(bytes.text(), "d");
  EXPECT_TRUE(bytes.release_front(1));
  EXPECT_FALSE(bytes) << "all of it";
  EXPECT_EQ(socket.receive().buffer.text(), "ef");
}

TEST_F(WireCpp, AssociationsAreUndone) {
  Peer peer("serve");
  sio::Area area(size_t{1} << 20);
  sio::Socket socket(peer.address().family());
  socket.associate(area);
  EXPECT_EQ(area.free().error(), EBUSY);
  ASSERT_TRUE(socket.disassociate(area));
  EXPECT_EQ(socket.disassociate(area).error(), EINVAL);
  EXPECT_TRUE(area.free());
  socket.connect(peer.address().storage());
  EXPECT_EQ(socket.disassociate(sio::Area(65536)).error(), EBUSY);
}

TEST_F(WireCpp, ListenerAcceptsWhatItsPeersSend) {
  sio::Socket listener(Address::self().family(), SOCK_SEQPACKET | SOCK_NONBLOCK);
  sockaddr_storage name{};
  std::memcpy(&name, Address::self().get(), Address::self().size());
  const sio::Channel channel(0u);
  listener.join(channel).set(SIO_RECV_SLOTS, 8).bind(name).listen();
  EXPECT_EQ(listener.get<int>(SIO_RECV_SLOTS), 8);
  EXPECT_FALSE(listener.accept());
  Peer peer("source size=10 count=1" + to(Address(listener.descriptor(), sio_getsockname)));
  await(channel, EC_ACCEPT);
  const sio::Socket accepted = listener.accept();
  ASSERT_TRUE(accepted);
  const sio::Buffer message = sio::buffer_of(await(channel, EC_RECV));
  EXPECT_EQ(message.size(), 10u);
}

// Whether the handle is one.
bool is_area(dma_mem_t handle) {
  struct dma_stat stat {};
  return dma_stat(handle, &stat) == 0;
}

// As a program declares them: the sockets still linger when it is the area's turn to go.
TEST_F(WireCpp, AreaWaitsForSocketsOnTheirWayOut) {
  constexpr int kRounds = 5;
  Peer peer("echo connections=" + std::to_string(kRounds));
  for (int i = 0; i < kRounds; ++i) {
    dma_mem_t handle = nullptr;
    {
      const sio::Area area(size_t{4} << 20);
      handle = area.handle();
      const sio::Channel channel(0u);
      sio::Socket socket(peer.address().family());
      socket.join(channel).associate(area, area.size() / 2, DMA_RECV).associate(area, DMA_SEND);
      socket.connect(peer.address().storage());
      ASSERT_TRUE(socket.send(area.reserve(64)));
      EXPECT_EQ(sio::buffer_of(await(channel, EC_RECV)).size(), 64u);
    }
    EXPECT_FALSE(is_area(handle)) << "round " << i;
  }
}

TEST_F(WireCpp, AreaThatIsInUseStays) {
  Peer peer("serve");
  sio::Socket socket(peer.address().family());
  dma_mem_t handle = nullptr;
  sio::Buffer kept;
  const auto begin = Clock::now();
  {
    const sio::Area area(65536);
    handle = area.handle();
    kept = area.reserve(64);
  }
  EXPECT_LT(Clock::now() - begin, 2s) << "it waits for sockets, not for the program";
  EXPECT_TRUE(is_area(handle));
  EXPECT_TRUE(kept.release());
  EXPECT_EQ(dma_free(handle, 65536), 0);
  {
    const sio::Area area(size_t{1} << 20);
    handle = area.handle();
    socket.associate(area);
  }
  EXPECT_TRUE(is_area(handle)) << "not for ever for sockets either";
  socket = {};
  EXPECT_EQ(dma_free(handle, size_t{1} << 20), 0);
}

TEST_F(WireCpp, AreaMayBeOfOurMemory) {
  alignas(64) static std::byte memory[4096];
  const sio::Area area = sio::Area::import(memory);
  EXPECT_EQ(area.reserve(4096).data(), memory);
}

TEST_F(Cpp, FailureToSetUpThrows) {
  const auto error_of = [](auto&& action) {
    try {
      action();
    } catch (const std::system_error& error) {
      return error.code().value();
    }
    return 0;
  };
  sio::Channel channel(0u);
  EXPECT_EQ(error_of([] { sio::Channel{4u}; }), EINVAL);
  EXPECT_EQ(error_of([] { sio::Socket(AF_UNIX); }), EAFNOSUPPORT);
  EXPECT_EQ(error_of([] { sio::Area(0); }), EINVAL);
  EXPECT_EQ(error_of([&] { channel.add(-1, EPOLLIN); }), EBADF);
  EXPECT_EQ(error_of([&] { channel.remove(0); }), ENOENT);
  EXPECT_EQ(error_of([&] { channel.add_timer(0s); }), EINVAL);
  EXPECT_EQ(error_of([] { sio::Socket(AF_INET).bind(sockaddr_in{}); }), EAFNOSUPPORT);
  EXPECT_EQ(error_of([] { sio::Socket(AF_INET).set(SIO_SLOT_SIZE, 1); }), EINVAL);
}

TEST_F(Cpp, ChannelTellsOfWhatWasAdded) {
  std::vector<event_data_t> ring(4);
  const sio::Channel channel(0, ring);
  EXPECT_FALSE(channel.next());
  EXPECT_EQ(channel.wait(10ms).error(), ETIMEDOUT);
  EXPECT_TRUE(channel.post(5));
  EXPECT_EQ(channel.next()->value, 5u);
  const int timer = channel.add_timer(10ms, 10ms);
  EXPECT_EQ(await(channel, EC_TIMER).fd, timer);
  EXPECT_TRUE(channel.end(timer));
  EXPECT_FALSE(channel.end(timer));
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const int due = channel.add_timer(CLOCK_REALTIME, {{}, now}, TIMER_ABSTIME);
  EXPECT_EQ(await(channel, EC_TIMER).fd, due);
  for (uint64_t i = 0; i < 4; ++i) EXPECT_TRUE(channel.post(i));
  EXPECT_TRUE(channel.post(4).again());
  std::vector<event_data_t> room(8);
  const auto events = channel.next(room);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events.back().value, 3u);
  EXPECT_TRUE(channel.next(room).empty());
  EXPECT_EQ(channel.descriptor(), channel.handle());
}

}  // namespace
}  // namespace sio::test
