// SPDX-License-Identifier: BSD-2-Clause
//
// Peers that speak garbage (behaviours_raw.cc) lose their own connection, and nothing else.
#include <atomic>
#include <cerrno>
#include <thread>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

// ---------------------------------------------------------------------------------- greetings

struct Greeting {
  const char* name;
  unsigned refusal;  // that the one who connects so is given; 0: none
  int error;         // of sio_connect, when the one who accepts answers so
};

class WireGreeting : public WireTest, public testing::WithParamInterface<Greeting> {};

INSTANTIATE_TEST_SUITE_P(
    All, WireGreeting,
    testing::Values(Greeting{"empty", 6, EPROTO}, Greeting{"noise", 6, EPROTO},
                    Greeting{"magic", 6, EPROTO}, Greeting{"version", 1, EPROTONOSUPPORT},
                    Greeting{"version-0", 1, EPROTONOSUPPORT}, Greeting{"type", 2, EPROTO},
                    Greeting{"cut", 3, EPROTO}, Greeting{"slot-size-0", 3, EPROTO},
                    Greeting{"slot-size-small", 3, EPROTO}, Greeting{"slot-size-odd", 3, EPROTO},
                    Greeting{"slot-size-large", 3, EPROTO}, Greeting{"slot-size-huge", 3, EPROTO},
                    Greeting{"slots-few", 3, EPROTO}, Greeting{"slots-many", 3, EPROTO},
                    Greeting{"slots-huge", 3, EPROTO}, Greeting{"slots-more", 3, EPROTO},
                    Greeting{"slots-more-huge", 3, EPROTO}, Greeting{"control-few", 3, EPROTO},
                    Greeting{"control-many", 3, EPROTO}, Greeting{"largest-message", 3, EPROTO}),
    [](const auto& info) {
      std::string name = info.param.name;
      std::erase(name, '-');
      return name;
    });

TEST_P(WireGreeting, OfWhoConnectsIsRefusedWithTheReason) {
  const Channel channel;
  Socket listener = Socket::make(SOCK_NONBLOCK);
  listener.join(channel).bind(Address::self()).listen();
  Peer peer(std::string("raw-dial greeting=") + GetParam().name + to(listener));
  // The RDMA CM pads private data with zeros, so that one that is cut still looks like one of ours.
  const bool shorter = on_soft() && GetParam().name == std::string("cut");
  EXPECT_EQ(peer.expect_number("rejected"), shorter ? 6 : GetParam().refusal);
  EXPECT_EQ(sio_accept(listener.get(), nullptr, nullptr), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_FALSE(channel.try_next(milliseconds(0))) << "nobody is to hear of it";
}

TEST_P(WireGreeting, OfWhoAcceptsFailsTheConnect) {
  Peer peer(std::string("raw-serve greeting=") + GetParam().name);
  Socket socket = Socket::make();
  EXPECT_EQ(socket.try_connect(peer.address()), GetParam().error);
}

using WireRefusal = WireTest;

TEST_F(WireRefusal, IsToldByItsReason) {
  const std::pair<const char*, int> kReasons[] = {
      {"1", EPROTONOSUPPORT}, {"2", EPROTO},           {"3", EPROTO},
      {"4", ECONNREFUSED},    {"5", ECONNREFUSED},     {"6", EPROTO},
      {"999", ECONNREFUSED},  {"empty", ECONNREFUSED}, {"noise", ECONNREFUSED}};
  for (const auto& [reason, error] : kReasons) {
    Peer peer(std::string("raw-serve reject=") + reason);
    Socket socket = Socket::make();
    EXPECT_EQ(socket.try_connect(peer.address()), error) << reason;
  }
}

TEST_F(WireRefusal, LeavesTheSocketAsGoodAsNew) {
  Socket socket = Socket::make();
  Peer liar("raw-serve greeting=noise");
  EXPECT_EQ(socket.try_connect(liar.address()), EPROTO);
  Peer busy("raw-serve reject=4");
  EXPECT_EQ(socket.try_connect(busy.address()), ECONNREFUSED);
  Peer honest("echo way=blocking");
  socket.connect(honest.address());
  socket.send("now to somebody else");
  EXPECT_EQ(socket.receive().view(), "now to somebody else");
}

TEST_F(WireRefusal, IsNotForFeaturesThatWeDoNotKnow) {
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Peer peer("raw-dial greeting=features" + to(listener));
  const Socket socket = listener.accept();
  peer.expect("established");
}

// Before the connection stands, and afterwards.
TEST_F(WireRefusal, IsNotForWhoTakesMoreThanAnyMessageMayBe) {
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Peer peer("raw-dial greeting=boundless answers=yes" + to(listener));
  Socket socket = listener.accept();
  const char byte = 0;
  for (const bool stands : {false, true}) {
    if (stands) {
      peer.say("answer");
      peer.expect("established");
    }
    EXPECT_EQ(socket.get_option<uint64_t>(SIO_MAX_MESSAGE), uint64_t{1} << 30);
    EXPECT_EQ(socket.try_send(&byte, (size_t{1} << 32) + 1), EMSGSIZE);
  }
}

// It stands still before it has said that the connection stands.
TEST_F(WireRefusal, AtLastIsOfWhoDoesNotAnswer) {
  if (on_soft()) GTEST_SKIP() << "a connection on TCP stands when it is accepted";
  const Channel channel;
  Socket listener = Socket::make(SOCK_NONBLOCK);
  listener.set(SIO_CONNECT_TIMEOUT, 500).join(channel).bind(Address::self()).listen();
  Peer peer("raw-dial" + to(listener));
  channel.expect(EC_ACCEPT);
  peer.stop();
  const Socket socket = listener.accept(channel);
  EXPECT_EQ(channel.expect(EC_HUP).error, ETIMEDOUT);
}

// ------------------------------------------------------------------------------------- frames

class WireGarbage : public WireTest {
 protected:
  void SetUp() override {
    WireTest::SetUp();
    if (IsSkipped()) return;
    good_.emplace("echo");
    area_.emplace(size_t{1} << 20);
    to_good_ = Socket::make();
    to_good_.join(channel_).connect(good_->address());
  }

  static std::vector<std::string> all_names() {
    Peer peer("list-garbage");
    std::vector<std::string> names;
    for (;;) {
      try {
        names.push_back(peer.line());
      } catch (const std::exception&) {
        return names;  // it has ended
      }
    }
  }

  // The innocent connection on the same channel and device works.
  void echo_with_the_innocent() {
    to_good_.send("innocent");
    for (;;) {
      const event_data_t event = channel_.next();
      if (event.kind != EC_RECV) continue;  // of the others
      const Message message(event);
      if (event.fd != to_good_.get()) continue;
      EXPECT_EQ(message.view(), "innocent");
      return;
    }
  }

  // The connection of that socket fails with this error; what it delivers before is dropped.
  void expect_failure(const Socket& socket, int error) {
    for (;;) {
      const event_data_t event = channel_.next();
      ASSERT_EQ(event.fd, socket.get()) << kind_name(event.kind);
      if (event.kind == EC_RECV) Message dropped(event);
      if (event.kind != EC_HUP) continue;
      EXPECT_EQ(event.error, error);
      EXPECT_EQ(socket.info().error, error);
      return;
    }
  }

  std::optional<Area> area_;
  Channel channel_;
  std::optional<Peer> good_;
  Socket to_good_;
};

TEST_F(WireGarbage, OfWhoConnectsEndsItsOwnConnectionWithEproto) {
  const auto names = all_names();
  EXPECT_GT(names.size(), 20u);
  Socket listener = Socket::make();
  listener.associate(*area_, 0, size_t{68} * kSlot).bind(Address::self()).listen();
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    Peer peer("raw-dial send=" + name + to(listener));
    const int fd = sio_accept_ec(listener.get(), nullptr, nullptr, 0, channel_.get(), nullptr);
    Socket socket(must(fd, "sio_accept_ec"));
    expect_failure(socket, EPROTO);
    EXPECT_EQ(socket.try_send("x", 1), EPROTO);
    EXPECT_EQ(socket.try_send("x", 1), EPIPE);
    peer.expect("established");
    peer.expect("sent");
    peer.expect("ended");
    echo_with_the_innocent();
  }
  listener.close();
  EXPECT_TRUE(eventually([&] { return accounts(area_->get()).free == area_->bytes(); }));
}

TEST_F(WireGarbage, OfWhoAcceptsEndsItsOwnConnectionWithEproto) {
  for (const std::string& name : all_names()) {
    SCOPED_TRACE(name);
    Peer peer("raw-serve send=" + name);
    Socket socket = Socket::make();
    socket.join(channel_);
    // What it sends at once may be there before we know that we are connected.
    const int error = socket.try_connect(peer.address());
    if (error == 0) {
      expect_failure(socket, EPROTO);
    } else {
      EXPECT_EQ(error, EPROTO);
    }
    peer.expect("sent");
    peer.expect("ended");
    echo_with_the_innocent();
  }
}

TEST_F(WireGarbage, IsARecallToWhichTheGreetingsDidNotAgree) {
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  for (const std::string greeting : {"good", "features-none"}) {
    SCOPED_TRACE(greeting);
    Peer peer("raw-dial send=recall ms=300 greeting=" + greeting + to(listener));
    const int fd = sio_accept_ec(listener.get(), nullptr, nullptr, 0, channel_.get(), nullptr);
    const Socket socket(must(fd, "sio_accept_ec"));
    peer.expect("established");
    peer.expect("sent");
    if (greeting == "good") {
      EXPECT_TRUE(eventually([&] {
        channel_.try_next(milliseconds(0));
        return socket.info().credit_frames == 1;
      })) << "the answer";
      peer.expect("stands 1");
      EXPECT_EQ(socket.info().credits, 2u) << "what is left for the next message";
    } else {
      expect_failure(socket, EPROTO);
    }
  }
}

TEST_F(WireGarbage, FailsWhoeverIsBlockedWithEproto) {
  Peer peer("raw-serve send=kind-0");
  Socket socket = Socket::make();
  socket.connect(peer.address());
  void* data;
  EXPECT_EQ(sio_recv(socket.get(), &data, SIZE_MAX, 0), -1);
  EXPECT_EQ(errno, EPROTO);
}

TEST_F(WireGarbage, DoesNotTakeWhatCameBefore) {
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Peer peer("raw-dial send=after-end" + to(listener));
  const int fd = sio_accept_ec(listener.get(), nullptr, nullptr, 0, channel_.get(), nullptr);
  const Socket socket(must(fd, "sio_accept_ec"));
  EXPECT_EQ(channel_.expect(EC_EOF).fd, socket.get());
  expect_failure(socket, EPROTO);
}

TEST_F(WireGarbage, IsTheLastThatIsTakenIn) {
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Peer peer("raw-dial send=before-message" + to(listener));
  const int fd = sio_accept_ec(listener.get(), nullptr, nullptr, 0, channel_.get(), nullptr);
  const Socket socket(must(fd, "sio_accept_ec"));
  peer.expect("established");
  peer.expect("sent");
  const event_data_t event = channel_.expect(EC_HUP);  // and no message before it
  EXPECT_EQ(event.fd, socket.get());
  EXPECT_EQ(event.error, EPROTO);
}

// It is not an end, as a frame without a payload may be.
TEST_F(WireGarbage, OnAStreamIsALaneFrameWithNothingInIt) {
  Socket listener = Socket::make(0, AF_UNSPEC, SOCK_STREAM);
  listener.bind(Address::self()).listen();
  Peer peer("raw-dial greeting=type send=lane-empty" + to(listener));
  const Socket socket = listener.accept(channel_);
  const event_data_t event = channel_.next();
  EXPECT_EQ(event.kind, uint32_t{EC_HUP});
  EXPECT_EQ(event.error, EPROTO);
}

TEST_F(WireGarbage, IsAMessageForWhichNoCreditWasGiven) {
  tolerate_rnr();
  constexpr int kCount = 300;  // we have 64 receives for messages, and 4 more
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Peer peer("raw-dial send=messages ms=30000 count=" + std::to_string(kCount) + to(listener));
  const int fd = sio_accept_ec(listener.get(), nullptr, nullptr, 0, channel_.get(), nullptr);
  const Socket socket(must(fd, "sio_accept_ec"));
  std::vector<Message> held;
  while (held.size() < 64) held.emplace_back(channel_.expect(EC_RECV));
  EXPECT_EQ(channel_.expect(EC_HUP).error, EPROTO);
  echo_with_the_innocent();
  held.clear();
  echo_with_the_innocent();
}

TEST_F(WireGarbage, IsToPostNoReceiveWhichHoldsUpOnlyWhoSendsThere) {
  tolerate_rnr();
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Peer peer("raw-dial receives=0" + to(listener));
  const int fd = sio_accept_ec(listener.get(), nullptr, nullptr, 0, channel_.get(), nullptr);
  const Socket socket(must(fd, "sio_accept_ec"));
  peer.expect("established");
  std::atomic<int> error{0};
  std::thread sending([&] {  // copied, in as many SENDs as there are buffers for them
    const std::string text(1000, 's');
    while (error == 0) error = sio_send(socket.get(), text.data(), text.size(), 0) == 0 ? 0 : errno;
  });
  std::this_thread::sleep_for(milliseconds(300));
  for (int i = 0; i < 100; ++i) {
    const auto start = Clock::now();
    ASSERT_EQ(ec_post(channel_.get(), 1, nullptr), 0);
    EXPECT_LT(since(start), milliseconds(500)) << "the channel is held";
    channel_.skip_to(EC_USER);
  }
  echo_with_the_innocent();
  EXPECT_EQ(error, 0);
  peer.kill();
  sending.join();
  EXPECT_TRUE(error == ECONNRESET || error == ETIMEDOUT) << error;
}

TEST_F(WireGarbage, ManyAtOnceDisturbNoHonestTraffic) {
  const uint64_t count = scaled(2000);
  const Channel others;
  Socket listener = Socket::make();
  listener.join(others).bind(Address::self()).listen();
  Peer honest("exchange seed=51 count=" + std::to_string(count));
  const Area area(size_t{4} << 20);
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).associate(area, DMA_SEND).connect(honest.address());
  std::vector<Peer> liars;
  for (const char* name : {"all-ones", "train-huge", "much-larger", "credits-many"}) {
    liars.emplace_back("raw-dial send=" + std::string(name) + to(listener));
  }
  std::vector<Socket> to_liars;
  while (to_liars.size() < liars.size()) {
    if (others.next().kind == EC_ACCEPT) to_liars.push_back(listener.accept());
  }
  Outflow out(socket, Pattern(52), count, Lend::kMixed, &area);
  Inflow in(Pattern(51), count);
  exchange(channel, out, in);
  socket.close();
  honest.finish();
}

}  // namespace
}  // namespace sio::test
