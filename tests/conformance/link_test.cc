// SPDX-License-Identifier: BSD-2-Clause
//
// A wire between two machines that fails, or loses packets.
#include <cerrno>
#include <cstdlib>
#include <thread>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/requests.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

class WireLink : public WireTest {
 protected:
  void SetUp() override {
    if (machines() != 2) GTEST_SKIP() << "needs a wire between two machines (SIO_RXE_MACHINES=2)";
  }
};

TEST_F(WireLink, ThatIsDeadIsNoticedWithoutTraffic) {
  allow_time(milliseconds(120'000));
  Peer idle("serve keepalive=0");  // rxe does not survive that it sends meanwhile
  const Channel channel;
  Socket socket = Socket::make();
  socket.set(SIO_KEEPALIVE_MS, 300).join(channel).connect(idle.address());
  idle.expect("accepted");
  Peer breaker("link-down ms=12000");
  breaker.expect("down");
  const event_data_t event = channel.expect(EC_HUP, milliseconds(30'000));
  EXPECT_EQ(event.error, ETIMEDOUT);
  EXPECT_GT(socket.info().keepalives, 0u);
  breaker.expect("up", milliseconds(60'000));
  breaker.finish(milliseconds(60'000));
  // And what is new works again.
  Peer peer("echo way=blocking");
  Socket again = Socket::make();
  EXPECT_TRUE(eventually([&] { return again.try_connect(peer.address()) == 0; }));
  again.send("as before");
  EXPECT_EQ(again.receive().view(), "as before");
}

// What was sent is not acknowledged; nobody waits for that, and there is no keepalive.
TEST_F(WireLink, ThatIsDeadIsNoticedByWhatWasSent) {
  allow_time(milliseconds(120'000));
  Peer sink("serve keepalive=0");
  const Channel channel;
  Socket socket = Socket::make();
  socket.set(SIO_KEEPALIVE_MS, 0).join(channel).connect(sink.address());
  sink.expect("accepted");
  Peer breaker("link-down ms=12000");
  breaker.expect("down");
  std::this_thread::sleep_for(milliseconds(200));
  socket.send("into the void");
  const event_data_t event = channel.expect(EC_HUP, milliseconds(30'000));
  EXPECT_EQ(event.error, ETIMEDOUT);
  breaker.expect("up", milliseconds(60'000));
  breaker.finish(milliseconds(60'000));
}

// To whoever sends it is told once, so each of these has a connection of its own.
TEST_F(WireLink, ThatIsDeadIsToldByEachCallThatMeetsWithIt) {
  allow_time(milliseconds(120'000));
  constexpr int kSockets = 6;
  std::vector<Peer> idle;
  std::vector<Socket> sockets;
  for (int i = 0; i < kSockets; ++i) {
    idle.emplace_back("serve keepalive=0");
    sockets.push_back(Socket::make());
    sockets.back().set(SIO_KEEPALIVE_MS, 300).connect(idle.back().address());
    idle.back().expect("accepted");
  }
  Peer breaker("link-down ms=12000");
  breaker.expect("down");
  void* data = nullptr;
  for (const Socket& socket : sockets) {
    expect_errors(
        {{"recv", [&] { return sio_recv(socket.get(), &data, SIZE_MAX, 0); }, ETIMEDOUT}});
  }
  char text[] = "x";
  iovec piece{text, 1};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  const void* at = &header;
  const auto fd = [&](size_t i) { return sockets[i].get(); };
  aio_cb send = on(fd(3), text, 1);
  aio_cb write = on(fd(4), text, 1);
  aio_cb gathered = with(header, on(fd(5), text, 1));
  expect_errors({
      {"recvmsg", [&] { return sio_recvmsg(fd(0), &at, sizeof header, 0); }, ETIMEDOUT},
      {"recvfrom", [&] { return sio_recvfrom(fd(0), &at, 1, 0, nullptr, 0); }, ETIMEDOUT},
      {"flush", [&] { return sio_flush(fd(0), nullptr); }, ETIMEDOUT},
      {"send", [&] { return sio_send(fd(0), "x", 1, 0); }, ETIMEDOUT},
      {"sendto", [&] { return sio_sendto(fd(1), "x", 1, 0, nullptr, 0); }, ETIMEDOUT},
      {"sendmsg", [&] { return sio_sendmsg(fd(2), &header, sizeof header, 0); }, ETIMEDOUT},
      {"aio_send", [&] { return aio_send(&send, 0); }, ETIMEDOUT},
      {"aio_write_ec", [&] { return aio_write_ec(&write); }, ETIMEDOUT},
      {"aio_sendmsg", [&] { return aio_sendmsg(&gathered, 0); }, ETIMEDOUT},
  });
  breaker.expect("up", milliseconds(60'000));
  breaker.finish(milliseconds(60'000));
}

// Drops packets that leave this machine, for as long as the object lives.
class Loss {
 public:
  explicit Loss(const std::string& percent)
      : interface_(interface_of(Address::self().text())),
        applied_(run("add dev " + interface_ + " root netem loss " + percent)) {}
  ~Loss() {
    if (applied_) run("del dev " + interface_ + " root");
  }
  Loss(const Loss&) = delete;
  Loss& operator=(const Loss&) = delete;
  bool applied() const { return applied_; }

 private:
  static bool run(const std::string& what) {
    return std::system(("tc qdisc " + what + " 2>/dev/null").c_str()) == 0;
  }

  std::string interface_;
  bool applied_;
};

TEST_F(WireLink, ThatLosesPacketsLosesNoMessage) {
  allow_time(milliseconds(180'000));
  const Loss loss("1%");
  if (!loss.applied()) GTEST_SKIP() << "tc cannot add netem here";
  const uint64_t count = scaled(1000);
  Peer peer("exchange seed=31 count=" + std::to_string(count));
  const Area area(size_t{8} << 20);
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).associate(area, DMA_SEND).connect(peer.address());
  Outflow out(socket, Pattern(32), count, Lend::kMixed, &area);
  Inflow in(Pattern(31), count);
  exchange(channel, out, in);
  EXPECT_EQ(split_words(peer.expect("done", milliseconds(60'000))).at(0), std::to_string(count));
  socket.close();
  peer.finish();
}

}  // namespace
}  // namespace sio::test
