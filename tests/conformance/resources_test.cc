// SPDX-License-Identifier: BSD-2-Clause
//
// What connections take is given back; what limits there are is told clearly.
#include <cerrno>

#include "conformance/counters.h"
#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/sanitizers.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

// The sanitizers hold back for a while what was freed.
constexpr bool kKeepsWhatIsFreed = kAddressSanitizer || kThreadSanitizer;

class WireResources : public WireTest {
 protected:
  // Opens, uses and closes `n` connections, `at_once` at a time, some in a channel and some not.
  void come_and_go(Peer& peer, int n, int at_once) {
    Channel channel;
    for (int done = 0; done < n; done += at_once) {
      std::vector<Socket> sockets;
      for (int i = 0; i < at_once; ++i) {
        const bool joined = i % 2 == 0;
        Socket socket = Socket::make();
        socket.set(SIO_RECV_SLOTS, 8);
        if (joined) socket.join(channel);
        if (i == 0) {
          await_free_area();  // the last one's may still be in use, as closing is in the background
          socket.associate(area_);
        }
        socket.connect(peer.address());
        socket.send("there and back");
        const Message back = joined ? Message(channel.skip_to(EC_RECV)) : socket.receive();
        EXPECT_EQ(back.view(), "there and back");
        sockets.push_back(std::move(socket));
      }
    }
  }

  // Sockets of a channel go in the background.
  void await_free_area() {
    EXPECT_TRUE(eventually([&] { return accounts(area_.get()).free == area_.bytes(); }));
  }

  Area area_{size_t{2} << 20};
};

TEST_F(WireResources, OfTwoHundredConnectionsAreGivenBack) {
  allow_time(milliseconds(120'000));
  constexpr int kWarmUp = 20;
  constexpr int kConnections = 200;
  // One more than come, so that the peer, whose objects are counted too, stays.
  Peer peer("echo slots=8 connections=" + std::to_string(kWarmUp + kConnections + 1));
  come_and_go(peer, kWarmUp, 4);
  await_free_area();
  const std::string objects = verbs_objects();
  const size_t descriptors = open_descriptors();
  const size_t heap = heap_bytes();
  const size_t resident = resident_bytes();
  come_and_go(peer, kConnections, 4);
  await_free_area();
  EXPECT_TRUE(eventually([&] { return open_descriptors() == descriptors; }))
      << open_descriptors() << " instead of " << descriptors;
  EXPECT_TRUE(eventually([&] { return verbs_objects() == objects; }))
      << verbs_objects() << " instead of " << objects;
  EXPECT_LT(heap_bytes(), heap + 65536);
  if (!kKeepsWhatIsFreed) {
    EXPECT_LT(resident_bytes(), resident + (size_t{4} << 20));
  }
  if (objects.empty()) std::printf("`rdma resource` says nothing here: not compared\n");
}

TEST_F(WireResources, OfListenersAreGivenBack) {
  const auto listen_once = [] { Socket::make().bind(Address::self()).listen(); };
  listen_once();
  const std::string objects = verbs_objects();
  const size_t descriptors = open_descriptors();
  for (int i = 0; i < 50; ++i) listen_once();
  EXPECT_EQ(open_descriptors(), descriptors);
  EXPECT_TRUE(eventually([&] { return verbs_objects() == objects; }))
      << verbs_objects() << " instead of " << objects;
}

TEST_F(WireResources, OfAreasAreGivenBack) {
  { const Area first(size_t{1} << 20); }
  const std::string objects = verbs_objects();
  const size_t resident = resident_bytes();
  for (int i = 0; i < 50; ++i) {
    const Area area(size_t{4} << 20);
    const Message block = Message::reserve(area, size_t{4} << 20);
  }
  EXPECT_EQ(verbs_objects(), objects);
  if (!kKeepsWhatIsFreed) {
    EXPECT_LT(resident_bytes(), resident + (size_t{4} << 20));
  }
}

TEST_F(WireResources, OfConnectsThatFailedAreGivenBack) {
  Peer peer("mute");
  const Address nobody = peer.address();
  peer.kill();
  const auto try_once = [&] {
    Socket socket = Socket::make();
    EXPECT_EQ(socket.try_connect(nobody), ECONNREFUSED);
  };
  try_once();
  const std::string objects = verbs_objects();
  const size_t descriptors = open_descriptors();
  for (int i = 0; i < 30; ++i) try_once();
  EXPECT_TRUE(eventually([&] { return open_descriptors() == descriptors; }));
  EXPECT_TRUE(eventually([&] { return verbs_objects() == objects; }))
      << verbs_objects() << " instead of " << objects;
}

TEST_F(WireResources, AllowTwentyConnectionsAtOnceOnOneChannel) {
  constexpr int kConnections = 20;
  const uint64_t messages = scaled(200);
  Peer peer("echo connections=20");
  const Channel channel;
  const Area area(size_t{4} << 20);
  std::vector<Socket> sockets(kConnections);
  std::vector<Outflow> out;
  std::vector<Inflow> in;
  for (size_t i = 0; i < sockets.size(); ++i) {
    sockets[i] = Socket::make(SOCK_NONBLOCK);
    auto* cookie = reinterpret_cast<void*>(i);
    sockets[i].join(channel, EC_DELIVER, cookie).associate(area, DMA_SEND);
    EXPECT_EQ(sockets[i].try_connect(peer.address()), EINPROGRESS);
    out.emplace_back(sockets[i], Pattern(i), messages, Lend::kMixed, &area);
    in.emplace_back(Pattern(i), messages);
  }
  for (int left = kConnections; left > 0; --left) EXPECT_EQ(channel.expect(EC_CONNECT).error, 0);
  for (Outflow& flow : out) flow.pump();
  for (int left = kConnections; left > 0;) {
    const event_data_t event = channel.next();
    const auto i = reinterpret_cast<size_t>(event.cookie);
    ASSERT_EQ(event.fd, sockets[i].get());
    ASSERT_NE(event.kind, uint32_t{EC_HUP});
    if (event.kind == EC_SENT) out[i].sent(event);
    out[i].pump();
    if (event.kind != EC_RECV) continue;
    in[i].take(Message(event));
    if (in[i].finished()) --left;
  }
  // Each EC_SENT that is owed still comes.
  for (size_t i = 0; i < sockets.size(); ++i) {
    while (!out[i].finished()) {
      const event_data_t event = channel.expect(EC_SENT);
      out[reinterpret_cast<size_t>(event.cookie)].sent(event);
    }
  }
  sockets.clear();
  peer.finish();
}

// ---------------------------------------------------------------------------------- limits

TEST_F(WireResources, BeyondTheMemlockLimitAreRefusedWithTheRemedy) {
  if (on_soft()) GTEST_SKIP() << "the soft provider locks no memory";
  Peer other("mute");
  Peer peer("memlock" + to(other.address()));
  std::vector<std::string> log;
  std::string line = peer.line();
  for (; line.rfind("log ", 0) == 0; line = peer.line()) log.push_back(line);
  EXPECT_EQ(line, "dma_alloc " + std::to_string(ENOMEM));
  bool clear = false;
  for (const std::string& said : log) {
    const auto has = [&](const char* word) { return said.find(word) != std::string::npos; };
    // The limit (64 KiB), what was wanted (1 MiB), and what to do.
    const bool limit = has("64 KiB") || has("65536");
    const bool need = has("1 MiB") || has("1024 KiB") || has("1048576");
    const bool remedy = has("ulimit -l") || has("LimitMEMLOCK") || has("memlock");
    clear |= limit && need && remedy;
  }
  EXPECT_TRUE(clear) << "the log: " << testing::PrintToString(log);
  for (line = peer.line(); line.rfind("log ", 0) == 0;) line = peer.line();
  EXPECT_EQ(line, "sio_connect " + std::to_string(ENOMEM));
}

TEST_F(WireResources, WithoutADeviceAreRefused) {
  Peer peer("no-device", {"SIO_PROVIDER=verbs"});
  const std::string line = peer.line();
  if (line.rfind("skip ", 0) == 0) GTEST_SKIP() << line.substr(5);
  EXPECT_EQ(line, "dma_alloc " + std::to_string(ENODEV));
  EXPECT_EQ(peer.expect_number("dma_import"), static_cast<uint64_t>(ENODEV));
  EXPECT_EQ(peer.expect_number("sio_bind"), static_cast<uint64_t>(ENODEV));
  EXPECT_EQ(peer.expect_number("sio_listen"), static_cast<uint64_t>(ENODEV));
  EXPECT_EQ(peer.expect_number("sio_connect"), static_cast<uint64_t>(ENODEV));
}

}  // namespace
}  // namespace sio::test
