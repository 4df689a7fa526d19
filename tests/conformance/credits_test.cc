// SPDX-License-Identifier: BSD-2-Clause
//
// Credits: a sender never sends what the receiver has no slot for. That the devices' counters of
// receivers that were not ready stay 0 is checked after every test (environment.cc).
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <optional>
#include <thread>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

using WireCredits = WireTest;

// dma_stat in a thread of its own, for as long as the object lives: the sums always add up.
class AccountsWatcher {
 public:
  explicit AccountsWatcher(dma_mem_t area)
      : thread_([this, area] {
          while (!stop_) accounts(area);
        }) {}
  ~AccountsWatcher() {
    stop_ = true;
    thread_.join();
  }
  AccountsWatcher(const AccountsWatcher&) = delete;
  AccountsWatcher& operator=(const AccountsWatcher&) = delete;

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

TEST_F(WireCredits, StallASenderThatOutrunsTheReceiverAndLoseNothing) {
  Peer peer("slow seed=2 slots=8");
  const Channel channel;
  const Area area(size_t{2} << 20);
  Socket socket = Socket::make();
  socket.join(channel).associate(area, DMA_SEND).connect(peer.address());
  const uint64_t count = scaled(1000);
  Outflow out(socket, Pattern(2), count, Lend::kMixed, &area);
  bool stalled = out.pump();
  EXPECT_TRUE(stalled) << "8 slots took " << out.count() << " messages";
  EXPECT_EQ(socket.ready() & EPOLLOUT, 0u);
  EXPECT_GT(socket.info().credit_stalls, 0u);
  EXPECT_EQ(socket.info().credits, 0u);
  peer.say("drain");
  // Who was refused is told when there is room, though it tries nothing before.
  while (!out.finished()) {
    const event_data_t event = channel.next();
    if (event.kind == EC_WRITABLE) stalled = false;
    if (event.kind == EC_SENT) out.sent(event);
    ASSERT_NE(event.kind, uint32_t{EC_HUP});
    if (!stalled) out.pump();
  }
  socket.close();
  EXPECT_EQ(peer.expect("done"), std::to_string(count) + ' ' + std::to_string(out.bytes()));
}

TEST_F(WireCredits, StallForAsLongAsTheReceiverHoldsItsMessages) {
  Peer peer("slow seed=2 slots=4 largest=1024");
  const Channel channel;
  Socket socket = Socket::make();
  socket.set(SIO_NODELAY, 1).join(channel).connect(peer.address());  // a slot for each message
  Outflow out(socket, Pattern(2, 1024), 100);
  EXPECT_TRUE(out.pump());
  EXPECT_EQ(out.count(), 4u);
  peer.say("hold 4");
  peer.expect("hold 4");
  EXPECT_FALSE(channel.try_next(milliseconds(100))) << "taken, but not released";
  peer.say("release");
  peer.expect("release");
  channel.expect(EC_WRITABLE);
  out.pump();
  EXPECT_GT(out.count(), 4u);
}

TEST_F(WireCredits, BlockASenderUntilThereIsRoom) {
  const uint64_t count = scaled(500);
  Peer peer("slow seed=3 slots=2 largest=1024");
  Socket socket = Socket::make();
  socket.connect(peer.address());
  std::thread sender([&] { send_all_blocking(socket, Pattern(3, 1024), count); });
  peer.say("take 1");
  peer.expect("take 1");
  peer.say("drain");
  sender.join();
  socket.close();
  EXPECT_EQ(split_words(peer.expect("done")).at(0), std::to_string(count));
}

class WireStalls : public WireTest {
 protected:
  void SetUp() override {
    WireTest::SetUp();
    if (IsSkipped()) return;
    peer_.emplace("slow slots=4 seed=2 size=64");
    // A slot for each message.
    socket_.set(SIO_NODELAY, 1).join(channel_).connect(peer_->address());
    for (int n = 0; n < 4; ++n) EXPECT_EQ(send(), 0);
  }
  int send(int flags = 0) {
    char message[64];
    pattern_.fill(message, sent_, sizeof message);
    const int error = socket_.try_send(message, sizeof message, flags);
    if (error == 0) ++sent_;
    return error;
  }
  void take(int n) {
    const std::string words = "take " + std::to_string(n);
    peer_->say(words);
    peer_->expect(words);
  }

  const Pattern pattern_ = Pattern::of_size(2, 64);
  uint64_t sent_ = 0;
  std::optional<Peer> peer_;
  const Channel channel_;
  Socket socket_ = Socket::make();
};

TEST_F(WireStalls, OfACallThatWasInterruptedAreOver) {
  {
    const Interrupter interrupter;
    EXPECT_EQ(send(), EINTR);
  }
  take(4);
  EXPECT_FALSE(channel_.try_next(milliseconds(100))) << "nobody waits for EC_WRITABLE";
  EXPECT_EQ(send(), 0);
}

TEST_F(WireStalls, OfOneThreadAreNotEndedByAnother) {
  EXPECT_EQ(send(MSG_DONTWAIT), EAGAIN);
  std::atomic<pid_t> blocked{0};
  std::thread other([&] {
    blocked = gettid();
    EXPECT_EQ(send(), 0);
  });
  EXPECT_TRUE(eventually([&] { return blocked != 0; }) && await_asleep(blocked));
  take(4);
  other.join();
  channel_.expect(EC_WRITABLE);
  EXPECT_EQ(send(MSG_DONTWAIT), 0);
}

// Two ends whose programs keep all slots but one filled, and take and give one message at a time:
// each slot that is free is one that the other can use.
class WireHolders : public WireTest, public testing::WithParamInterface<int> {
 protected:
  struct End {
    explicit End(unsigned seed) : random(seed) {}
    void take(const Channel& channel) { held.emplace_back(channel.skip_to(EC_RECV)); }
    void release_one() {
      std::swap(held[random.below(held.size())], held.back());
      held.pop_back();
    }
    std::vector<Message> held;
    Random random;
  };

  void SetUp() override {
    WireTest::SetUp();
    if (IsSkipped()) return;
    Socket listener = Socket::make();
    listener.set(SIO_RECV_SLOTS, GetParam()).set(SIO_NODELAY, 1).bind(Address::self()).listen();
    near.set(SIO_RECV_SLOTS, GetParam()).set(SIO_NODELAY, 1).join(near_channel);
    std::thread accepting([&] {
      const int fd = sio_accept_ec(listener.get(), nullptr, nullptr, 0, far_channel.get(), nullptr);
      far = Socket(must(fd, "sio_accept_ec"));
    });
    near.connect(listener.name());
    accepting.join();
    far.set(SIO_NODELAY, 1);
  }

  const size_t kept = static_cast<size_t>(GetParam()) - 1;
  const Channel near_channel;
  const Channel far_channel;
  Socket near = Socket::make();
  Socket far;
  End at_near{1};
  End at_far{2};
};

INSTANTIATE_TEST_SUITE_P(Slots, WireHolders, testing::Values(2, 3, 4, 16, 64));

TEST_P(WireHolders, OfAllButOneSlotAreReachedOneWay) {
  for (uint64_t n = 0; n < kept + scaled(200); ++n) {
    near.send("x");
    at_far.take(far_channel);
    if (at_far.held.size() > kept) at_far.release_one();
  }
  // And with one slot filled by another, the last too.
  near.send("y");
  at_far.take(far_channel);
  EXPECT_EQ(at_far.held.back().view(), "y");
}

TEST_P(WireHolders, OfAllButOneSlotAreReachedBothWays) {
  for (uint64_t n = 0; n < kept + scaled(200); ++n) {
    near.send("x");
    far.send("y");
    at_far.take(far_channel);
    at_near.take(near_channel);
    if (at_far.held.size() > kept) at_far.release_one();
    if (at_near.held.size() > kept) at_near.release_one();
  }
}

// Released by a thread that is not the channel's, while that sleeps.
TEST_P(WireHolders, WhoReleaseWhileTheirChannelSleepsAreReachedToo) {
  while (at_far.held.size() <= kept) {
    near.send("x");
    at_far.take(far_channel);
  }
  for (uint64_t n = 0; n < scaled(20); ++n) {
    std::atomic<pid_t> sleeper{0};
    std::optional<Message> next;
    std::thread sleeping([&] {
      sleeper = gettid();
      next.emplace(far_channel.skip_to(EC_RECV));
    });
    EXPECT_TRUE(eventually([&] { return sleeper != 0; }) && await_asleep(sleeper));
    at_far.release_one();
    near.send("z");
    sleeping.join();
    EXPECT_EQ(next->view(), "z");
    at_far.held.push_back(std::move(*next));
  }
}

TEST_F(WireCredits, SurviveAReceiverThatReleasesInRandomOrder) {
  const uint64_t count = scaled(5000);
  Peer peer("hoarder seed=5");
  const Channel channel;
  const Area area(size_t{2} << 20);
  Socket socket = Socket::make();
  socket.join(channel).associate(area, DMA_SEND).connect(peer.address());
  const AccountsWatcher watcher(area.get());
  Outflow out(socket, Pattern(5), count, Lend::kMixed, &area);
  Inflow nothing(Pattern(0), 0);
  exchange(channel, out, nothing);
  socket.close();
  const auto done = split_words(peer.expect("done"));
  EXPECT_EQ(done.at(0), std::to_string(count));
  EXPECT_GT(std::stoull(done.at(1)), 16u) << "messages that it held at once";
  peer.finish();
}

TEST_F(WireCredits, AddUpInTheAccountsOfTheReceiverAtAllTimes) {
  const uint64_t count = scaled(3000);
  Peer peer("source seed=6 lend=mixed count=" + std::to_string(count));
  Area area(size_t{2} << 20);
  const size_t receive_memory = size_t{68} * kSlot;
  Inflow in{Pattern(6)};
  {
    const Channel channel;
    Socket socket = Socket::make();
    socket.join(channel).associate(area, 0, receive_memory).connect(peer.address());
    const AccountsWatcher watcher(area.get());
    EXPECT_EQ(accounts(area.get()).posted + accounts(area.get()).received, receive_memory);
    std::vector<Message> held;
    Random random(8);
    for (bool end = false; !end;) {
      const event_data_t event = channel.next();
      end = event.kind == EC_EOF;
      if (event.kind != EC_RECV) continue;
      held.emplace_back(event);
      in.take(held.back());
      if (held.size() < 20) continue;
      std::swap(held[random.below(held.size())], held.back());
      held.pop_back();
    }
  }
  EXPECT_EQ(in.taken(), count);
  EXPECT_TRUE(eventually([&] { return accounts(area.get()).free == area.bytes(); }));
}

// ----------------------------------------------------------------------------------- geometries

struct Geometry {
  const char* name;
  int slots;  // ours
  int slot_size;
  const char* peer;
  size_t largest;  // message that both take
};

class WireGeometry : public WireTest, public testing::WithParamInterface<Geometry> {};

INSTANTIATE_TEST_SUITE_P(
    All, WireGeometry,
    testing::Values(Geometry{"Default", 64, 8192, "", 8192},
                    Geometry{"Two", 2, 8192, "slots=2 slot_size=8192", 8192},
                    Geometry{"Tiny", 16, 256, "slots=16 slot_size=256", 256},
                    Geometry{"TwoTiny", 2, 256, "slots=2 slot_size=256", 256},
                    Geometry{"OursSmaller", 4, 512, "slots=32 slot_size=16384", 512},
                    Geometry{"TheirsSmaller", 256, 65536, "slots=2 slot_size=1024", 1024},
                    Geometry{"Odd", 7, 4160, "slots=5 slot_size=320", 320}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_P(WireGeometry, FloodsOfBothEndsAtOnceArriveWhole) {
  const auto& [name, slots, slot_size, options, largest] = GetParam();
  const uint64_t count = scaled(1500);
  Peer peer("exchange seed=21 count=" + std::to_string(count) +
            " largest=" + std::to_string(largest) + ' ' + options);
  const Channel channel;
  const Area area(size_t{2} << 20);
  Socket socket = Socket::make();
  socket.set(SIO_RECV_SLOTS, slots).set(SIO_SLOT_SIZE, slot_size).join(channel);
  socket.associate(area, DMA_SEND).connect(peer.address());
  Outflow out(socket, Pattern(22, largest), count, Lend::kMixed, &area);
  Inflow in(Pattern(21, largest), count);
  exchange(channel, out, in);
  EXPECT_EQ(split_words(peer.expect("done")).at(0), std::to_string(count));
  socket.close();
  peer.finish();
}

TEST_F(WireCredits, ThePeersSlotsAndNotOursLimitWhatWeSend) {
  Peer peer("echo slot_size=1024 slots=5");
  Socket socket = Socket::make();
  socket.set(SIO_SLOT_SIZE, 4096).set(SIO_COPY_MAX, 8192);
  EXPECT_EQ(socket.get_option<uint64_t>(SIO_MAX_MESSAGE), 4096u);
  socket.connect(peer.address());
  EXPECT_EQ(socket.get_option<uint64_t>(SIO_MAX_MESSAGE), 1024u);
  const std::vector<char> data(4096, 'x');
  EXPECT_EQ(socket.try_send(data.data(), 1025), EMSGSIZE);
  EXPECT_EQ(socket.try_send(data.data(), 1024), 0);
  EXPECT_EQ(socket.receive().size(), 1024u);
  const sio_info info = socket.info();
  EXPECT_EQ(info.slot_size, 4096u);
  EXPECT_EQ(info.recv_slots, 64u);
  EXPECT_EQ(info.peer_slot_size, 1024u);
  EXPECT_EQ(info.peer_recv_slots, 5u);
}

TEST_F(WireCredits, OfAOneWayStreamComeBackInFramesOfTheirOwn) {
  const uint64_t count = scaled(3000);
  Peer peer("sink seed=4 size=600 slots=8");
  Socket socket = Socket::make();
  socket.connect(peer.address());
  send_all_blocking(socket, Pattern::of_size(4, 600), count);
  socket.flush();
  EXPECT_EQ(socket.info().messages_sent, count);
  EXPECT_EQ(socket.info().messages_received, 0u);
  socket.close();
  peer.finish();
}

TEST_F(WireCredits, IdleConnectionsExchangeNoFrames) {
  Peer peer("echo");
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).connect(peer.address());
  const std::string text = "some traffic first";
  for (int i = 0; i < 200; ++i) {
    socket.send(text);
    Message back(channel.skip_to(EC_RECV));
  }
  EXPECT_FALSE(channel.try_next(milliseconds(100)));
  const sio_info before = socket.info();
  EXPECT_FALSE(channel.try_next(milliseconds(500)));
  const sio_info after = socket.info();
  EXPECT_EQ(after.credit_frames, before.credit_frames);
  EXPECT_EQ(after.receives_posted, before.receives_posted);
}

// What a forwarder gets back while it waits for events, and owes nobody a word of, is posted again
// before it sleeps.
TEST_F(WireCredits, ComeFromAForwarderThatOnlyWaits) {
  const Channel channel;
  const Area area(size_t{1} << 20);
  const auto make = [&](int slots) {
    Socket listener = Socket::make();
    listener.set(SIO_RECV_SLOTS, slots).set(SIO_KEEPALIVE_MS, 0).bind(Address::self()).listen();
    return listener;
  };
  Socket in = Socket::make();
  in.set(SIO_RECV_SLOTS, 16).set(SIO_KEEPALIVE_MS, 0).join(channel);
  in.associate(area, 0, size_t{20} * kSlot);
  Socket out = Socket::make();
  out.set(SIO_KEEPALIVE_MS, 0).join(channel).associate(area, DMA_SEND);
  Socket from_listener = make(64);
  Socket to_listener = make(2);
  Socket from;
  Socket to;
  std::thread accepting([&] {
    from = from_listener.accept();
    to = to_listener.accept();
  });
  in.connect(from_listener.name());
  out.connect(to_listener.name());
  accepting.join();
  from.set(SIO_NODELAY, 1);
  constexpr int kMessages = 200;
  std::thread forwarding([&] {
    for (int n = 0; n < kMessages;) {
      const event_data_t event = channel.next();
      if (event.kind != EC_RECV || event.fd != in.get()) continue;
      ++n;
      must(out.send(buffer_of(event)), "sio_send");
    }
    out.flush(milliseconds(60'000));
  });
  std::thread sending([&] {
    for (int n = 0; n < kMessages; ++n) from.send("forward");
  });
  std::this_thread::sleep_for(milliseconds(300));  // all are stuck for want of slots at the end
  for (int n = 0; n < kMessages; ++n) EXPECT_EQ(to.receive().view(), "forward");
  sending.join();
  forwarding.join();
}

TEST_F(WireCredits, AreReturnedAtOnceByWhoWillNotRead) {
  Pair pair = make_pair();
  Socket& reader = pair.far;
  Socket& writer = pair.near;
  writer.set(SIO_NODELAY, 1);
  int sent = 0;
  while (writer.try_send("x", 1, MSG_DONTWAIT) == 0) ++sent;
  // All that came has been looked at.
  EXPECT_TRUE(
      eventually([&] { return reader.try_receive(MSG_DONTWAIT, 0).status.error() == EMSGSIZE; }));
  must(reader.shutdown(SHUT_RD), "sio_shutdown");
  EXPECT_TRUE(
      eventually([&] { return writer.try_send("x", 1, MSG_DONTWAIT) == 0; }, milliseconds(1000)))
      << "after " << sent;
}

}  // namespace
}  // namespace sio::test
