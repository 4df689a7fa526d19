// SPDX-License-Identifier: BSD-2-Clause
//
// Several threads on one channel, in calls that wait for different things: none takes away what
// another sleeps on, and none is forgotten.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <thread>

#include "conformance/fixtures.h"
#include "conformance/peer.h"

namespace sio::test {
namespace {

constexpr milliseconds kMoment{100};  // until a thread is surely asleep where it was sent

// Fills what the peer has room for, and is then in a blocking send until the peer takes something.
class BlockedSender {
 public:
  explicit BlockedSender(const Socket& socket, int messages)
      : thread_([&socket, messages] {
          for (int i = 0; i < messages; ++i) must(socket.send("x"), "sio_send");
        }) {
    std::this_thread::sleep_for(kMoment * 2);
  }
  ~BlockedSender() { thread_.join(); }
  BlockedSender(const BlockedSender&) = delete;
  BlockedSender& operator=(const BlockedSender&) = delete;

 private:
  std::thread thread_;
};

bool readable(int fd, milliseconds limit) {
  pollfd entry{fd, POLLIN, 0};
  return poll(&entry, 1, static_cast<int>(limit.count())) == 1;
}

// Asks for events (or messages) until there is none, as who is about to sleep must.
void see_empty(const Channel& channel) {
  while (channel.poll()) {
  }
}

class WireSleepers : public WireTest {
 protected:
  // A connection between two sockets of this process; the far one has two slots, takes nothing and
  // asks nobody whether he is there.
  Pair make_narrow_pair(const Channel* near_channel) {
    Socket listener = Socket::make();
    listener.set(SIO_RECV_SLOTS, 2).set(SIO_KEEPALIVE_MS, 0).bind(Address::self()).listen();
    Pair pair;
    pair.near = Socket::make();
    pair.near.set(SIO_KEEPALIVE_MS, 0).set(SIO_NODELAY, 1);
    if (near_channel != nullptr) pair.near.join(*near_channel);
    std::thread connecting([&] { pair.near.connect(listener.name()); });
    pair.far = listener.accept();
    connecting.join();
    return pair;
  }
};

// The first is woken for a message while the one in the blocking send looks after completions only,
// since there is something in the ring; and then goes away.
TEST_F(WireSleepers, InDelayHearOfEventsWhenTheOneThatWasWokenHasGone) {
  const Channel channel;
  const Fd bell(eventfd(0, EFD_CLOEXEC));
  must(ec_add_fd(channel.get(), bell.get(), EPOLLIN, nullptr), "ec_add_fd");
  Pair pair = make_narrow_pair(&channel);
  {
    const BlockedSender sender(pair.near, 4);
    std::atomic<int> heard{0};
    std::array<std::thread, 2> sleepers;
    for (std::thread& one : sleepers) {
      one = std::thread([&] {
        if (const auto event = channel.try_next(kSoon)) {
          ++heard;
          if (event->kind == EC_RECV) Message{*event};
        }
      });
    }
    std::this_thread::sleep_for(kMoment);
    pair.far.send("answer");
    EXPECT_TRUE(eventually([&] { return heard == 1; }));
    std::this_thread::sleep_for(kMoment);
    must(eventfd_write(bell.get(), 1), "eventfd_write");
    EXPECT_TRUE(eventually([&] { return heard == 2; }, milliseconds(10'000)));
    for (std::thread& one : sleepers) one.join();
    for (int i = 0; i < 4; ++i) EXPECT_EQ(pair.far.receive().view(), "x");
  }
}

TEST_F(WireSleepers, InPollHearOfEventsWhileAnotherIsInABlockingSend) {
  const Channel channel;
  Pair pair = make_narrow_pair(&channel);
  const int fd = channel.descriptor();
  {
    const BlockedSender sender(pair.near, 4);
    see_empty(channel);
    pair.far.send("answer");
    std::this_thread::sleep_for(kMoment);
    EXPECT_TRUE(readable(fd, milliseconds(3000)));
    EXPECT_EQ(Message(channel.skip_to(EC_RECV)).view(), "answer");
    for (int i = 0; i < 4; ++i) EXPECT_EQ(pair.far.receive().view(), "x");
  }
  EXPECT_TRUE(eventually([&] {  // it may be readable for what is nobody's business
    see_empty(channel);
    return !readable(fd, kMoment);
  }));
}

TEST_F(WireSleepers, InPollHearOfMessagesWhileAnotherIsInABlockingSend) {
  Pair pair = make_narrow_pair(nullptr);
  const BlockedSender sender(pair.near, 4);
  EXPECT_FALSE(pair.near.try_receive(MSG_DONTWAIT).status);
  pair.far.send("answer");
  std::this_thread::sleep_for(kMoment);
  EXPECT_TRUE(readable(pair.near.get(), milliseconds(3000)));
  EXPECT_EQ(pair.near.receive().view(), "answer");
  for (int i = 0; i < 4; ++i) EXPECT_EQ(pair.far.receive().view(), "x");
}

TEST_F(WireSleepers, InDelayAreServedWhileAnotherIsInABlockingSend) {
  const Channel channel;
  Pair pair = make_narrow_pair(&channel);
  see_empty(channel);
  ASSERT_TRUE(channel.post(1));  // so that the sender sleeps apart
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  channel.add(fd, EPOLLIN);
  {
    const BlockedSender sender(pair.near, 4);
    EXPECT_EQ(channel.next().kind, uint32_t{EC_USER});
    std::thread writing([fd] {
      std::this_thread::sleep_for(kMoment);
      eventfd_write(fd, 1);
    });
    EXPECT_EQ(channel.next(milliseconds(3000)).kind, uint32_t{EC_FD});
    writing.join();
    for (int i = 0; i < 4; ++i) EXPECT_EQ(pair.far.receive().view(), "x");
  }
  close(fd);
}

// While a thread waits in ec_delay others ask for what is not there, and the event that was told of
// is still to be found.
TEST_F(WireSleepers, AreNotDisturbedByAnEmptyReceiveOrAccept) {
  const Channel channel;
  Socket listener = Socket::make(SOCK_NONBLOCK);
  listener.join(channel, EPOLLIN).bind(Address::self()).listen();
  Socket near = Socket::make();
  near.join(channel, EPOLLIN);
  std::thread connecting([&] { near.connect(listener.name()); });
  Socket far;
  while (!(far = listener.try_accept())) std::this_thread::yield();
  connecting.join();
  std::atomic<bool> over{false};
  std::atomic<int> taken{0};
  std::thread delayed([&] {
    while (!over) {
      (void)channel.wait(milliseconds(200));
      while (const auto event = channel.poll()) taken += event->kind == EC_USER ? 1 : 0;
    }
  });
  constexpr int kRounds = 300;
  for (int i = 0; i < kRounds; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(500));
    EXPECT_TRUE(channel.post(1));
    EXPECT_FALSE(near.try_receive(MSG_DONTWAIT).status);
    EXPECT_FALSE(listener.try_accept());
  }
  EXPECT_TRUE(eventually([&] { return taken == kRounds; }));
  over = true;
  delayed.join();
}

TEST_F(WireSleepers, InPollSeeTheEventThatAnEmptyReceiveCameAcross) {
  const Channel channel;
  Pair pair = make_pair(&channel, nullptr, EPOLLIN);
  const int fd = channel.descriptor();
  see_empty(channel);
  ASSERT_TRUE(channel.post(1));
  EXPECT_FALSE(pair.near.try_receive(MSG_DONTWAIT).status);
  EXPECT_TRUE(readable(fd, milliseconds(1000)));
  EXPECT_EQ(channel.next().kind, uint32_t{EC_USER});
}

// A ring of two is full of events that two threads were woken for; what has waited for room must
// wake the third, for the two may be busy for long.
TEST_F(WireSleepers, InDelayHearOfAnEventThatHadToWaitForRoom) {
  const Channel channel(0, 2);
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  channel.add(fd, EPOLLIN);
  Socket listener = Socket::make();
  listener.join(channel, EPOLLIN).bind(Address::self()).listen();
  std::thread leader([&] {
    EXPECT_THROW(listener.try_accept(), std::system_error);  // until it is closed
  });
  std::this_thread::sleep_for(kMoment);
  std::atomic<int> back{0};
  std::atomic<int> taken{0};
  std::atomic<bool> go{false};
  std::atomic<bool> over{false};
  std::vector<std::thread> workers;
  for (int i = 0; i < 3; ++i) {
    workers.emplace_back([&] {
      (void)channel.wait();
      ++back;
      while (!go) std::this_thread::yield();
      if (channel.poll()) ++taken;
      while (!over) std::this_thread::sleep_for(milliseconds(1));  // busy
    });
  }
  std::this_thread::sleep_for(kMoment);
  EXPECT_TRUE(channel.post(1));
  EXPECT_TRUE(channel.post(2));
  EXPECT_TRUE(eventually([&] { return back == 2; }));
  eventfd_write(fd, 1);  // no room for it
  std::this_thread::sleep_for(kMoment);
  go = true;
  EXPECT_TRUE(eventually([&] { return taken == 3; }, milliseconds(3000))) << taken;
  over = true;
  if (back < 3) (void)channel.post(3);
  for (std::thread& worker : workers) worker.join();
  listener.close();
  leader.join();
  close(fd);
}

using Sleepers = PlainTest;

// One byte for each of two threads that work through a pipe: who took the first is busy when the
// second comes.
TEST_F(Sleepers, AreAllReachedByOneDescriptor) {
  const Channel channel;
  std::array<int, 2> ends;
  ASSERT_EQ(pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC), 0);
  channel.add(ends[0], EPOLLIN);
  std::atomic<int> taken{0};
  std::atomic<int> allowed{0};
  std::atomic<bool> over{false};
  const auto work = [&] {
    while (!over) {
      char byte;
      if (!channel.wait(milliseconds(5000)) || !channel.poll()) continue;
      if (read(ends[0], &byte, 1) != 1) continue;
      const int mine = ++taken;
      while (!over && allowed < mine) std::this_thread::sleep_for(milliseconds(1));  // busy
    }
  };
  std::thread one(work);
  std::thread two(work);
  std::this_thread::sleep_for(kMoment);
  for (int round = 1; round <= 10; ++round) {
    EXPECT_EQ(write(ends[1], "a", 1), 1);
    EXPECT_TRUE(eventually([&] { return taken == 2 * round - 1; }, milliseconds(2000)));
    EXPECT_EQ(write(ends[1], "b", 1), 1);
    EXPECT_TRUE(eventually([&] { return taken == 2 * round; }, milliseconds(2000))) << round;
    allowed = taken.load();
  }
  over = true;
  EXPECT_EQ(write(ends[1], "cc", 2), 2);
  one.join();
  two.join();
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace sio::test
