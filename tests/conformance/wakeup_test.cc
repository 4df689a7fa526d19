// SPDX-License-Identifier: BSD-2-Clause
//
// Wake-ups: none is ever lost, wherever between poll and arm a completion falls; and who has
// nothing to do sleeps. (What is hammered here by chance is hit on purpose in the unit tests.)
#include <poll.h>
#include <sys/resource.h>

#include <cerrno>
#include <future>
#include <thread>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

// ------------------------------------------------------------------------------- the arm race

struct Racer {
  const char* name;
  Way way;
  bool by_descriptor;  // of a channel: poll(2) instead of ec_delay
};

class WireArmRace : public WireTest, public testing::WithParamInterface<Racer> {};

INSTANTIATE_TEST_SUITE_P(All, WireArmRace,
                         testing::Values(Racer{"Delay", Way::kDeliver, false},
                                         Racer{"ChannelPoll", Way::kDeliver, true},
                                         Racer{"Readable", Way::kReadable, false},
                                         Racer{"Blocking", Way::kBlocking, false},
                                         Racer{"SocketPoll", Way::kPoll, false}),
                         [](const auto& info) { return std::string(info.param.name); });

void sleep_on_descriptor(const Channel& channel) {
  pollfd entry{channel.descriptor(), POLLIN, 0};
  const int limit = static_cast<int>(kSoon.count());
  if (must(poll(&entry, 1, limit), "poll") == 0) fail("a wake-up was lost");
}

Message receive_by_descriptor(const Channel& channel) {
  std::optional<event_data_t> event;
  while (!(event = channel.poll())) {
    if (errno != EAGAIN) fail("ec_next_event");
    sleep_on_descriptor(channel);
  }
  if (event->kind != EC_RECV) fail("%s", kind_name(event->kind));
  return Message(*event);
}

// Ping-pong of programs that do not spin, each answering after a delay that sweeps over the
// time in which the other looks once more, arms and falls asleep.
TEST_P(WireArmRace, LosesNoWakeUp) {
  constexpr int kSweepUs = 150;
  const auto& [name, way, by_descriptor] = GetParam();
  const uint64_t rounds = scaled(1000);
  const char* const receiver = way == Way::kDeliver    ? "deliver"
                               : way == Way::kReadable ? "readable"
                               : way == Way::kBlocking ? "blocking"
                                                       : "poll";
  Peer peer("echo spin=0 jitter=" + std::to_string(kSweepUs) + " way=" + receiver,
            {"SIO_SPIN_US=0"});
  std::optional<Channel> own;
  if (events_of(way) != 0) own.emplace();
  const Channel* channel = own ? &*own : nullptr;
  Socket socket = Socket::make();
  if (own) socket.join(*own, events_of(way));
  socket.set(SIO_SPIN_US, 0).connect(peer.address());
  Random random(1);
  for (uint64_t n = 0; n < rounds; ++n) {
    ASSERT_EQ(socket.try_send(&n, sizeof n), 0);
    const Message back =
        by_descriptor ? receive_by_descriptor(*channel) : receive_one(way, channel, socket);
    uint64_t number;
    ASSERT_EQ(back.size(), sizeof number);
    memcpy(&number, back.data(), sizeof number);
    ASSERT_EQ(number, n);
    spin_for(std::chrono::nanoseconds(random.below(kSweepUs * 1000)));
  }
}

using WireWakeups = WireTest;

// The same for acknowledgements: EC_SENT is waited for.
TEST_F(WireWakeups, LoseNoAcknowledgement) {
  const uint64_t rounds = scaled(1000);
  Peer peer("sink size=600 count=" + std::to_string(rounds), {"SIO_SPIN_US=0"});
  const Area area(size_t{1} << 20);
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).associate(area, DMA_SEND).set(SIO_SPIN_US, 0).connect(peer.address());
  const Pattern pattern = Pattern::of_size(1, 600);
  Message block = Message::reserve(area, 600);
  Random random(2);
  for (uint64_t n = 0; n < rounds; ++n) {
    pattern.fill(block.data(), n, 600);
    ASSERT_EQ(socket.try_send(block.data(), 600), 0);
    spin_for(std::chrono::nanoseconds(random.below(60'000)));
    channel.skip_to(EC_SENT);
  }
  peer.finish();
}

// A thread sleeps, armed for what the peer may send; another thread sends, and its acknowledgement
// must reach the first.
TEST_F(WireWakeups, ReachWhoFellAsleepBeforeTheSend) {
  constexpr uint64_t kRounds = 20;
  Peer peer("sink size=600 count=" + std::to_string(kRounds));
  const Area area(size_t{1} << 20);
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).associate(area, DMA_SEND).set(SIO_SPIN_US, 0).connect(peer.address());
  const Pattern pattern = Pattern::of_size(1, 600);
  Message block = Message::reserve(area, 600);
  for (uint64_t n = 0; n < kRounds; ++n) {
    pattern.fill(block.data(), n, 600);
    std::future<event_data_t> sent =
        std::async(std::launch::async, [&] { return channel.skip_to(EC_SENT); });
    std::this_thread::sleep_for(milliseconds(10));
    ASSERT_EQ(socket.try_send(block.data(), 600), 0);
    ASSERT_EQ(sent.wait_for(std::chrono::seconds(3)), std::future_status::ready) << n;
    sent.get();
  }
  peer.finish();
}

// And for credits: the smallest number of slots makes each few messages wait for one.
TEST_F(WireWakeups, LoseNoCredit) {
  const uint64_t count = scaled(800);
  Peer peer("sink size=300 slots=2 count=" + std::to_string(count), {"SIO_SPIN_US=0"});
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).set(SIO_SPIN_US, 0).set(SIO_NODELAY, 1).connect(peer.address());
  Outflow out(socket, Pattern::of_size(1, 300), count);
  Random random(3);
  while (!out.all_sent()) {
    if (out.pump(1)) channel.skip_to(EC_WRITABLE);
    spin_for(std::chrono::nanoseconds(random.below(20'000)));
  }
  socket.flush();
  peer.finish();
}

// -------------------------------------------------------------------------------------- idle

double cpu_ms() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto ms = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
  };
  return ms(usage.ru_utime) + ms(usage.ru_stime);
}

using WireIdle = WireTest;

constexpr milliseconds kIdleTime{2000};
constexpr double kIdleCpuMs = 20;  // 1 %: a machine may be slow, but a loop takes all

TEST_F(WireIdle, ChannelUsesNoCpu) {
  Peer peer("echo connections=5");
  const Channel channel;
  std::vector<Socket> sockets(5);
  for (Socket& socket : sockets) {
    socket = Socket::make();
    socket.join(channel).connect(peer.address());
    socket.send("once");
    Message back(channel.skip_to(EC_RECV));
  }
  EXPECT_FALSE(channel.try_next(milliseconds(100)));
  const double before = cpu_ms();
  timespec limit = to_timespec(kIdleTime);
  EXPECT_EQ(ec_delay(channel.get(), &limit), -1);
  EXPECT_EQ(errno, ETIMEDOUT);
  EXPECT_LT(cpu_ms() - before, kIdleCpuMs);
}

TEST_F(WireIdle, NoThreadLooksAgainAndAgain) {
  Peer peer("serve");
  Socket socket = Socket::make();
  socket.connect(peer.address());
  socket.send("once");
  socket.flush();
  std::this_thread::sleep_for(milliseconds(300));
  const uint64_t before = sleeps_of_our_threads();
  std::this_thread::sleep_for(kIdleTime);
  EXPECT_GT(before, 0u) << "there is such a thread";
  EXPECT_LT(sleeps_of_our_threads() - before, 10u);  // a keepalive, say
}

TEST_F(WireIdle, DescriptorsSleepInPoll) {
  Peer peer("echo connections=2");
  const Channel channel;
  Socket joined = Socket::make();
  joined.join(channel).connect(peer.address());
  Socket alone = Socket::make();
  alone.connect(peer.address());
  joined.send("once");
  Message back(channel.skip_to(EC_RECV));
  alone.send("once");
  EXPECT_EQ(alone.receive().view(), "once");
  EXPECT_TRUE(alone.try_receive(MSG_DONTWAIT).status.again());
  const int fd = channel.descriptor();
  EXPECT_FALSE(channel.poll());
  const double before = cpu_ms();
  const auto begin = Clock::now();
  int spurious = 0;
  pollfd entries[] = {{fd, POLLIN, 0}, {alone.get(), POLLIN, 0}};
  for (auto left = kIdleTime; left.count() > 0;
       left = std::chrono::duration_cast<milliseconds>(begin + kIdleTime - Clock::now())) {
    if (poll(entries, 2, static_cast<int>(left.count())) <= 0) continue;
    // Who has just polled may poll on, so at first the descriptor is readable for a while, however
    // often a fast machine looks.
    spurious += Clock::now() - begin > milliseconds(100) ? 1 : 0;
    EXPECT_FALSE(channel.poll());
    EXPECT_TRUE(alone.try_receive(MSG_DONTWAIT).status.again());
  }
  EXPECT_LT(spurious, 20);
  EXPECT_LT(cpu_ms() - before, kIdleCpuMs);
}

// The control thread has something to look after, the program something that it does not take.
double cpu_ms_asleep() {
  std::this_thread::sleep_for(milliseconds(200));
  const double before = cpu_ms();
  std::this_thread::sleep_for(kIdleTime);
  return cpu_ms() - before;
}

TEST_F(WireIdle, CareForADeafSocketUsesNoCpuWhileAnEventWaits) {
  Peer peer("serve");
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).connect(peer.address());
  must(socket.shutdown(SHUT_RD), "sio_shutdown");
  must(channel.post(1), "ec_post");
  EXPECT_LT(cpu_ms_asleep(), kIdleCpuMs);
}

TEST_F(WireIdle, CareForADeafSocketUsesNoCpuWhenThePeerHasEnded) {
  Peer peer("serve then=shut");
  Socket socket = Socket::make();
  socket.connect(peer.address());
  must(socket.shutdown(SHUT_RD), "sio_shutdown");
  EXPECT_LT(cpu_ms_asleep(), kIdleCpuMs);
}

TEST_F(WireIdle, CareForATrainUsesNoCpuWhileAMessageWaits) {
  Pair pair = make_pair();
  Socket& near = pair.near;
  while (near.try_send("much", 4, MSG_DONTWAIT) == 0) {
  }
  pair.far.send("in");
  EXPECT_LT(cpu_ms_asleep(), kIdleCpuMs);
}

}  // namespace
}  // namespace sio::test
