// SPDX-License-Identifier: BSD-2-Clause
//
// The race that loses wake-ups: a completion arrives after the queue was polled and before it is
// armed, so that no notification tells of it. Here each one arrives exactly there.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "event/channel_guard.h"
#include "event/channel_wait.h"
#include "unit/event/channels_device.h"

namespace sio::internal {
namespace {

// What a device does: completions, and one notification for an armed queue.
struct FakeDevice final : ChannelsDevice {
  class Queue final : public provider::CompletionQueue {
   public:
    explicit Queue(FakeDevice& device) noexcept : device_(device) {}
    uint32_t capacity() const noexcept override { return 64; }
    int poll(int, ibv_wc* wc) noexcept override { return device_.poll(wc); }
    int arm(bool) noexcept override { return device_.arm(); }

   private:
    FakeDevice& device_;
  };

  class NotificationChannel final : public provider::CompletionChannel {
   public:
    explicit NotificationChannel(FakeDevice& device)
        : device_(device), fd_(eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE)) {}
    ~NotificationChannel() override { ::close(fd_); }
    int fd() const noexcept override { return fd_; }
    bool take_notifications(unsigned most) noexcept override {
      eventfd_t one;
      while (most-- > 0 && eventfd_read(fd_, &one) == 0) continue;
      return !device_.gone_;
    }
    std::unique_ptr<provider::CompletionQueue> create_queue(uint32_t) override {
      return std::make_unique<Queue>(device_);
    }

   private:
    FakeDevice& device_;
    int fd_;
  };

  std::unique_ptr<provider::CompletionChannel> create_completion_channel() override {
    auto channel = std::make_unique<NotificationChannel>(*this);
    notify_fd_ = channel->fd();
    return channel;
  }

  void complete(uint64_t wr_id) noexcept {
    ibv_wc wc{};
    wc.wr_id = wr_id;
    completions_.push_back(wc);
    if (armed_) eventfd_write(notify_fd_, 1);
    armed_ = false;
  }
  int poll(ibv_wc* wc) noexcept {
    // As if nobody polled after arming.
    if (std::exchange(just_armed_, false) && second_poll_left_out_) return 0;
    if (completions_.empty()) return 0;
    *wc = completions_.front();
    completions_.pop_front();
    return 1;
  }
  int arm() noexcept {
    if (arrives_before_arming_ > 0) {
      --arrives_before_arming_;
      complete(wr_id_);  // not armed yet: no notification
    }
    ++armings_;
    armed_ = just_armed_ = true;
    return 0;
  }

  std::deque<ibv_wc> completions_;
  int notify_fd_ = -1;
  uint64_t wr_id_ = 0;
  int arrives_before_arming_ = 0;
  int armings_ = 0;
  bool armed_ = false;
  bool gone_ = false;
  bool just_armed_ = false;
  bool second_poll_left_out_ = false;
};

// Turns each completion into an event.
class CountingHandler final : public CompletionHandler, public EventSource {
 public:
  explicit CountingHandler(Channel& channel) noexcept : channel_(channel) {}
  void complete(wire::Work, uint32_t, const ibv_wc&) noexcept override { ++waiting_; }
  void settle() noexcept override {
    if (!comes_to_nothing_) channel_.offer(this);
  }
  void before_sleep() noexcept override {}
  bool emit(EventRing& ring) noexcept override {
    for (; waiting_ > 0 && !ring.full(); --waiting_)
      ring.push({this, EC_RECV, 0, 0}).kind = EC_RECV;
    return waiting_ == 0;
  }
  void taken(const EventNote&) noexcept override {}

  bool comes_to_nothing_ = false;  // but for what the library itself has to do

 private:
  Channel& channel_;
  int waiting_ = 0;
};

class ArmRace : public testing::Test {
 protected:
  ArmRace() : channel_(*open()), guard_(&channel_), handler_(channel_) {
    channel_.spin().set_limit(microseconds(0));  // straight to arming
    seat_ = channel_.hub().join(device_, 16, &handler_);
    device_.wr_id_ = seat_.work_id(wire::Work::kReceive, 0);
  }
  ~ArmRace() override {
    channel_.forget(&handler_);
    channel_.hub().leave(seat_);
    channel_.close();
  }

  static Channel* open() {
    ChannelOptions options;
    options.entries = 8;
    return Channel::open(OwnFd(epoll_create1(EPOLL_CLOEXEC)), options);
  }

  int wait(milliseconds limit) {
    return channel_.wait(guard_.lock(), WaitFor::kEvent, Clock::now() + limit,
                         [&] { return !channel_.ring().empty(); });
  }

  // As devices do that can be unplugged (ib_uverbs_event_poll of Linux).
  void unplug_device() {
    device_.gone_ = true;
    eventfd_write(device_.notify_fd_, 1u << 30);  // readable for ever
  }

  FakeDevice device_;
  Channel& channel_;
  ChannelGuard guard_;
  CountingHandler handler_;
  CompletionHub::Seat seat_;
};

TEST_F(ArmRace, FindsWhatArrivesBetweenPollAndArm) {
  event_data_t event;
  for (int i = 0; i < 1000; ++i) {
    device_.arrives_before_arming_ = 1;
    ASSERT_EQ(wait(milliseconds(10'000)), 0) << i;
    ASSERT_EQ(channel_.next_events(&event, 1), 1);
  }
  EXPECT_GE(device_.armings_, 1000);
}

// The proof that the test above would hang: without the second poll only the time limit ends the
// sleep.
TEST_F(ArmRace, IsSleptThroughWithoutTheSecondPoll) {
  device_.second_poll_left_out_ = true;
  device_.arrives_before_arming_ = 1;
  const TimePoint start = Clock::now();
  wait(milliseconds(100));
  EXPECT_GE(Clock::now() - start, milliseconds(100));
}

TEST_F(ArmRace, WakesForWhatArrivesAfterArming) {
  // The sleeper is woken by the notification: there is nobody else.
  std::thread device([&] {
    for (;;) {
      {
        ChannelGuard guard(&channel_);
        if (device_.armed_) return device_.complete(device_.wr_id_);
      }
      std::this_thread::yield();
    }
  });
  EXPECT_EQ(wait(milliseconds(10'000)), 0);
  guard_.unlock();
  device.join();
  guard_.lock() = Channel::Lock(channel_.mutex());
}

// What it finds in its last look before it sleeps may not be for the thread that leads, but for one
// that waits beside it: nobody else would tell that one.
TEST_F(ArmRace, WhatTheLeaderFindsLastWakesTheOther) {
  bool released = false;
  std::thread leader([&] {
    ChannelGuard guard(&channel_);
    EXPECT_EQ(channel_.wait(guard.lock(), WaitFor::kState, Clock::now() + milliseconds(20'000),
                            [&] { return released; }),
              0);
  });
  const auto waits_for = [&](auto condition) {
    while (!condition()) {
      guard_.unlock();
      std::this_thread::sleep_for(milliseconds(1));
      guard_.lock() = Channel::Lock(channel_.mutex());
    }
  };
  waits_for([&] { return channel_.somebody_leads(); });
  bool entered = false;
  std::thread other([&] {
    ChannelGuard guard(&channel_);
    entered = true;
    EXPECT_EQ(channel_.wait(guard.lock(), WaitFor::kEvent, Clock::now() + milliseconds(10'000),
                            [&] { return !channel_.ring().empty(); }),
              0);
  });
  waits_for([&] { return entered; });
  // Wakes the leader for nothing. While it arms again the message comes.
  device_.arrives_before_arming_ = 1;
  device_.complete(wire::next_generation(device_.wr_id_));
  const TimePoint start = Clock::now();
  guard_.unlock();
  other.join();
  EXPECT_LT(Clock::now() - start, milliseconds(5'000)) << "its own time limit woke it";
  guard_.lock() = Channel::Lock(channel_.mutex());
  released = true;
  channel_.changed();
  guard_.unlock();
  leader.join();
  guard_.lock() = Channel::Lock(channel_.mutex());
}

TEST_F(ArmRace, ADeviceThatHasGoneDoesNotWakeWhoSleeps) {
  unplug_device();
  EXPECT_EQ(wait(milliseconds(50)), -ETIMEDOUT);
  EXPECT_LE(device_.armings_, 3);
}

TEST_F(ArmRace, ADeviceThatHasGoneDoesNotWakeWhoSleepsOnTheDescriptor) {
  event_data_t event;
  while (!device_.armed_) ASSERT_EQ(channel_.next_events(&event, 1), -EAGAIN);
  unplug_device();
  pollfd entry{channel_.fd(), POLLIN, 0};
  ASSERT_EQ(poll(&entry, 1, 0), 1);
  for (int woken = 1; poll(&entry, 1, 0) == 1; ++woken) {
    ASSERT_LT(woken, 200'000);
    ASSERT_EQ(channel_.next_events(&event, 1), -EAGAIN);
  }
}

// Who polls on when it could sleep is soon left alone: then what comes finds nothing armed. A round
// in which the machine held this thread up was a longer silence, or one in which it hardly polled:
// after it the learning begins anew.
TEST_F(ArmRace, IsNotRunByWhoPolls) {
  constexpr microseconds kSilence(1500);
  constexpr int kLearning = 2;  // 1 and 2 ms
  constexpr int kPolls = 100;   // more than it takes to be known for
  constexpr microseconds kHeldUp(200);
  channel_.spin().set_limit(microseconds(50));
  event_data_t event;
  bool was_armed = false;
  int undisturbed = 0;
  int checked = 0;
  for (int round = 0; checked < 6; ++round) {
    ASSERT_LT(round, 10'000) << "the machine never leaves this thread alone for long enough";
    const int armings = device_.armings_;
    std::this_thread::sleep_for(milliseconds(1));  // for a whole slice of the processor
    const TimePoint start = Clock::now();
    int looks = 0;  // after the arming
    bool held_up = false;
    TimePoint last = start;
    const auto look = [&](int result) {
      ASSERT_EQ(channel_.next_events(&event, 1), result) << round;
      const TimePoint now = Clock::now();
      held_up |= now - last > kHeldUp;
      last = now;
    };
    while (last - start < kSilence) {
      look(-EAGAIN);
      looks += device_.armings_ > armings ? 1 : 0;
    }
    device_.complete(device_.wr_id_);
    look(1);
    const bool armed = device_.armings_ > armings;
    was_armed |= armed;
    undisturbed = held_up || (armed && looks < kPolls) ? 0 : undisturbed + 1;
    if (undisturbed <= kLearning) continue;
    EXPECT_FALSE(armed) << round;
    ++checked;
  }
  EXPECT_TRUE(was_armed);
}

// And who sleeps after the arming can soon sleep early again, though it polled before.
TEST_F(ArmRace, IsRunEarlyForWhoSleeps) {
  channel_.spin().set_limit(microseconds(50));
  event_data_t event;
  const auto armed_after = [&](milliseconds most) {
    device_.complete(device_.wr_id_);
    EXPECT_EQ(channel_.next_events(&event, 1), 1);
    const int before = device_.armings_;
    const TimePoint start = Clock::now();
    while (device_.armings_ == before && Clock::now() - start < most) {
      EXPECT_EQ(channel_.next_events(&event, 1), -EAGAIN);
    }
    return Clock::now() - start;
  };
  for (int i = 0; i < 6; ++i) {  // polls on
    armed_after(milliseconds(100));
    for (int n = 0; n < 100; ++n) EXPECT_EQ(channel_.next_events(&event, 1), -EAGAIN);
  }
  EXPECT_GE(armed_after(milliseconds(100)), milliseconds(16));
  for (int i = 0; i < 6; ++i) armed_after(milliseconds(100));
  // The least of several: the machine may hold this thread up.
  auto least = nanoseconds::max();
  for (int i = 0; i < 20; ++i) least = std::min<nanoseconds>(least, armed_after(milliseconds(100)));
  EXPECT_LT(least, milliseconds(16));
}

TEST_F(ArmRace, LeavesTheDescriptorReadableOrArmedWheneverTheChannelWasSeenEmpty) {
  event_data_t event;
  channel_.arm_strictly();
  for (int i = 0; i < 100; ++i) {
    device_.arrives_before_arming_ = i % 2;
    int taken = 0;
    while (channel_.next_events(&event, 1) > 0) ++taken;
    EXPECT_EQ(taken, i % 2) << i;
    ASSERT_TRUE(device_.armed_) << i;
    device_.complete(device_.wr_id_);
    epoll_event ready;
    EXPECT_EQ(epoll_wait(channel_.fd(), &ready, 1, 0), 1) << i;
    ASSERT_EQ(channel_.next_events(&event, 1), 1) << i;
  }
}

// A peer can see to it that something has always come that concerns the library alone.
class NoEndOfIt : public ArmRace {
 protected:
  static constexpr int kMuch = 50'000'000;  // takes many seconds
  NoEndOfIt() {
    handler_.comes_to_nothing_ = true;
    device_.arrives_before_arming_ = kMuch;
  }
  void expect_little_was_taken() const {
    EXPECT_LT(kMuch - device_.arrives_before_arming_, kMuch / 2);
  }
  bool is_readable() const {
    epoll_event ready;
    return epoll_wait(channel_.fd(), &ready, 1, 0) == 1;
  }
};

TEST_F(NoEndOfIt, KeepsNobodyWhoDoesNotWait) {
  event_data_t event;
  channel_.arm_strictly();
  EXPECT_EQ(channel_.next_events(&event, 1), -EAGAIN);
  EXPECT_TRUE(is_readable()) << "nothing is armed";
  expect_little_was_taken();
}

TEST_F(NoEndOfIt, KeepsNobodyLongerThanHeWouldWait) {
  EXPECT_EQ(wait(milliseconds(20)), -ETIMEDOUT);
  expect_little_was_taken();
}

TEST_F(NoEndOfIt, KeepsNobodyLongerThoughAnotherWaitsBesideHim) {
  device_.arrives_before_arming_ = 0;
  const auto waits = [&](milliseconds limit) {
    ChannelGuard guard(&channel_);
    EXPECT_EQ(channel_.wait(guard.lock(), WaitFor::kEvent, Clock::now() + limit,
                            [&] { return !channel_.ring().empty(); }),
              -ETIMEDOUT);
  };
  std::thread leader(waits, milliseconds(300));
  while (!channel_.somebody_leads()) {
    guard_.unlock();
    std::this_thread::sleep_for(milliseconds(1));
    guard_.lock() = Channel::Lock(channel_.mutex());
  }
  std::thread other(waits, milliseconds(400));
  guard_.unlock();
  std::this_thread::sleep_for(milliseconds(50));
  guard_.lock() = Channel::Lock(channel_.mutex());
  device_.arrives_before_arming_ = kMuch;
  device_.complete(device_.wr_id_);
  guard_.unlock();
  leader.join();
  other.join();
  guard_.lock() = Channel::Lock(channel_.mutex());
  expect_little_was_taken();
}

// Who waits for the lock sleeps, and takes longer to wake than the other to take it again.
TEST_F(NoEndOfIt, LetsOthersIn) {
  constexpr milliseconds kLong(10'000);
  constexpr milliseconds kSoon(50);
  guard_.unlock();
  bool released = false;
  std::thread waiter([&] {
    ChannelGuard guard(&channel_);
    channel_.wait(guard.lock(), WaitFor::kState, Clock::now() + kLong, [&] { return released; });
  });
  const TimePoint start = Clock::now();
  const auto ten_turns = [&] {
    const TimePoint begin = Clock::now();
    for (int i = 0; i < 10; ++i) {
      std::this_thread::sleep_for(milliseconds(1));
      const ChannelGuard guard(&channel_);
    }
    return Clock::now() - begin;
  };
  // The least of several: the machine may hold this thread up.
  auto least = nanoseconds::max();
  while (least > kSoon && Clock::now() - start < kLong / 2) {
    least = std::min<nanoseconds>(least, ten_turns());
  }
  {
    const ChannelGuard guard(&channel_);
    released = true;
  }
  waiter.join();
  guard_.lock() = Channel::Lock(channel_.mutex());
  EXPECT_LE(least, kSoon);
}

TEST_F(NoEndOfIt, KeepsNobodyWhoArmsForOthers) {
  EXPECT_FALSE(channel_.arm_for_others());
  EXPECT_TRUE(is_readable());
  expect_little_was_taken();
}

}  // namespace
}  // namespace sio::internal
