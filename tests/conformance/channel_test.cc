// SPDX-License-Identifier: BSD-2-Clause
//
// Event channels without any device: posting, the ring, waiting, and who is woken.
#include <fcntl.h>
#include <poll.h>
#include <sys/select.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>

#include "conformance/counters.h"
#include "conformance/fixtures.h"
#include "conformance/lines.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

using ChannelTest = PlainTest;

void post(const Channel& channel, uint64_t value, void* cookie = nullptr) {
  must(channel.post(value, cookie), "post");
}

TEST_F(ChannelTest, DeliversWhatWasPostedInOrder) {
  const Channel channel;
  int cookie = 0;
  for (uint64_t i = 0; i < 1000; ++i) post(channel, i, &cookie);
  for (uint64_t i = 0; i < 1000; ++i) {
    const event_data_t event = channel.expect(EC_USER);
    EXPECT_EQ(event.value, i);
    EXPECT_EQ(event.cookie, &cookie);
    EXPECT_EQ(event.fd, -1);
    EXPECT_EQ(event.error, 0);
    EXPECT_EQ(event.flags, 0u);
  }
  EXPECT_FALSE(channel.poll());
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(ChannelTest, GivesSeveralEventsAtOnce) {
  const Channel channel;
  for (uint64_t i = 0; i < 10; ++i) post(channel, i);
  event_data_t events[8];
  EXPECT_EQ(channel.poll(events).size(), 8u);
  EXPECT_EQ(events[7].value, 7u);
  EXPECT_EQ(channel.poll(events).size(), 2u);
  EXPECT_EQ(events[1].value, 9u);
  EXPECT_TRUE(channel.poll(events).empty());
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(ChannelTest, RefusesPostsWhenTheRingIsFull) {
  const Channel channel(0, 4);
  for (int round = 0; round < 3; ++round) {
    for (uint64_t i = 0; i < 4; ++i) post(channel, i);
    EXPECT_TRUE(channel.post(4).again());
    for (uint64_t i = 0; i < 4; ++i) EXPECT_EQ(channel.expect(EC_USER).value, i);
  }
}

TEST_F(ChannelTest, TakesPostsOfManyThreads) {
  constexpr uint64_t kThreads = 4;
  const uint64_t each = scaled(10'000);
  const Channel channel;
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (uint64_t n = 0; n < each;) {
        if (channel.post(thread << 32 | n).ok()) ++n;
      }
    });
  }
  std::vector<uint64_t> next(kThreads);
  for (uint64_t left = kThreads * each; left > 0; --left) {
    const uint64_t value = channel.expect(EC_USER).value;
    EXPECT_EQ(value & 0xffffffff, next.at(value >> 32)++);
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ChannelTest, IsCloseOnExec) {
  const Channel channel;
  EXPECT_NE(fcntl(channel.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(channel.descriptor(), channel.get());
}

TEST_F(ChannelTest, LeavesNoDescriptorBehind) {
  { const Channel first; }
  const size_t before = open_descriptors();
  for (int i = 0; i < 100; ++i) {
    const Channel channel;
    post(channel, 1);
  }
  EXPECT_EQ(open_descriptors(), before);
}

// ------------------------------------------------------------------------------------- waiting

TEST_F(ChannelTest, DelayTimesOutNeverEarly) {
  const Channel channel;
  for (const int ms : {0, 1, 7, 30, 250}) {
    timespec limit = to_timespec(milliseconds(ms));
    const auto start = Clock::now();
    EXPECT_EQ(ec_delay(channel.get(), &limit), -1);
    EXPECT_EQ(errno, ETIMEDOUT);
    EXPECT_GE(Clock::now() - start, milliseconds(ms));
    EXPECT_LT(since(start), milliseconds(ms + 1000));
  }
}

TEST_F(ChannelTest, DelayReturnsAtOnceWhenSomethingIsThere) {
  const Channel channel;
  post(channel, 1);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(channel.wait());
  EXPECT_TRUE(channel.wait(milliseconds(0)));
  channel.expect(EC_USER);
  EXPECT_EQ(channel.wait(milliseconds(0)).error(), ETIMEDOUT);
}

TEST_F(ChannelTest, DelayIsInterruptedBySignals) {
  const Channel channel;
  const Interrupter interrupter;
  EXPECT_EQ(ec_delay(channel.get(), nullptr), -1);
  EXPECT_EQ(errno, EINTR);
  timespec limit = to_timespec(kSoon);
  EXPECT_EQ(ec_delay(channel.get(), &limit), -1);
  EXPECT_EQ(errno, EINTR);
}

// Threads in ec_delay that do not take the event: how many return.
class Sleepers {
 public:
  Sleepers(const Channel& channel, int n) : channel_(channel) {
    for (int i = 0; i < n; ++i) {
      std::atomic<pid_t> id{0};
      threads_.emplace_back([&] {
        id = gettid();
        id.notify_one();
        const Status status = channel_.wait();
        if (status) ++woken_;
        if (!status) error_ = status.error();
        ++done_;
      });
      id.wait(0);
      EXPECT_TRUE(await_asleep(id));
    }
  }
  ~Sleepers() {
    for (std::thread& thread : threads_) thread.join();
  }

  int woken() const { return woken_; }
  int done() const { return done_; }
  int error() const { return error_; }

 private:
  const Channel& channel_;
  std::vector<std::thread> threads_;
  std::atomic<int> woken_{0};
  std::atomic<int> done_{0};
  std::atomic<int> error_{0};
};

TEST_F(ChannelTest, AnEventWakesOneOfTheThreadsThatWait) {
  constexpr int kThreads = 5;
  const Channel channel;
  Sleepers sleepers(channel, kThreads);
  for (int posted = 1; posted <= kThreads; ++posted) {
    post(channel, 1);
    EXPECT_TRUE(eventually([&] { return sleepers.woken() == posted; }));
    // A second one would come within this time.
    EXPECT_FALSE(eventually([&] { return sleepers.woken() > posted; }, milliseconds(30)));
  }
}

TEST_F(ChannelTest, AnEventWakesAllThreadsOnAWakeAllChannel) {
  constexpr int kThreads = 5;
  const Channel channel(EC_WAKE_ALL);
  Sleepers sleepers(channel, kThreads);
  post(channel, 1);
  EXPECT_TRUE(eventually([&] { return sleepers.woken() == kThreads; }));
}

TEST_F(ChannelTest, DestroyEndsTheWait) {
  std::optional<Channel> channel(std::in_place);
  Sleepers sleepers(*channel, 3);
  channel.reset();
  EXPECT_TRUE(eventually([&] { return sleepers.done() == 3; }));
  EXPECT_EQ(sleepers.error(), EBADF);
}

TEST_F(ChannelTest, ThreadsThatTakeTurnsMissNothing) {
  constexpr int kThreads = 4;
  const uint64_t count = scaled(10'000);
  const Channel channel;
  std::atomic<uint64_t> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (;;) {
        const uint64_t value = channel.expect(EC_USER, milliseconds(40'000)).value;
        if (value == 0) return;
        ++taken;
      }
    });
  }
  for (uint64_t n = 0; n < count;) {
    if (channel.post(1).ok()) ++n;
  }
  for (int i = 0; i < kThreads; ++i) {
    EXPECT_TRUE(eventually([&] { return channel.post(0).ok(); }));
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, count);
}

// ------------------------------------------------------------------------- poll, select, epoll

bool wait_by_poll(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return poll(&entry, 1, static_cast<int>(kSoon.count())) == 1;
}

bool wait_by_select(int fd) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(fd, &set);
  timeval limit{kSoon.count() / 1000, 0};
  return select(fd + 1, &set, nullptr, nullptr, &limit) == 1;
}

bool wait_by_epoll(int fd, uint32_t edge) {
  const Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{EPOLLIN | edge, {}};
  must(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  return epoll_wait(epoll.get(), &event, 1, static_cast<int>(kSoon.count())) == 1;
}

bool wait_by_level(int fd) { return wait_by_epoll(fd, 0); }
bool wait_by_edge(int fd) { return wait_by_epoll(fd, EPOLLET); }

// The channel is drained, and slept on, while another thread posts at any time.
TEST_F(ChannelTest, ItsDescriptorNeverMissesAnEvent) {
  for (const auto wait : {wait_by_poll, wait_by_select, wait_by_level, wait_by_edge}) {
    const uint64_t count = scaled(800);
    const Channel channel;
    const int fd = channel.descriptor();
    std::atomic<uint64_t> seen{0};
    std::thread poster([&] {
      Random random(1);
      for (uint64_t n = 1; n <= count; ++n) {
        spin_for(std::chrono::nanoseconds(random.below(20'000)));
        post(channel, n);
        while (seen != n) std::this_thread::yield();
      }
    });
    while (seen != count) {
      ASSERT_TRUE(wait(fd)) << "asleep after " << seen << " of " << count;
      while (const auto event = channel.poll()) seen = event->value;
    }
    poster.join();
  }
}

TEST_F(ChannelTest, ItsDescriptorIsQuietWhenThereIsNothing) {
  const Channel channel;
  pollfd entry{channel.descriptor(), POLLIN, 0};
  EXPECT_FALSE(channel.poll());
  EXPECT_EQ(poll(&entry, 1, 50), 0);
  post(channel, 1);
  EXPECT_EQ(poll(&entry, 1, 0), 1);
  channel.expect(EC_USER);
  EXPECT_FALSE(channel.poll());
  EXPECT_EQ(poll(&entry, 1, 50), 0);
}

}  // namespace
}  // namespace sio::test
