// SPDX-License-Identifier: BSD-2-Clause
#include "event/caretaker.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>

#include "event/channel_guard.h"
#include "event/channel_wait.h"
#include "unit/event/channels_device.h"

namespace sio::internal {
namespace {

// Nothing ever completes here, but notifications may lie about.
struct IdleDevice final : ChannelsDevice {
  struct Queue final : provider::CompletionQueue {
    uint32_t capacity() const noexcept override { return 64; }
    int poll(int, ibv_wc*) noexcept override { return 0; }
    int arm(bool) noexcept override { return 0; }
  };
  struct NotificationChannel final : provider::CompletionChannel {
    explicit NotificationChannel(int fd) : fd_(fd) {}
    int fd() const noexcept override { return fd_.get(); }
    bool take_notifications(unsigned most) noexcept override {
      eventfd_t one;
      while (most-- > 0 && eventfd_read(fd_.get(), &one) == 0) continue;
      return true;
    }
    std::unique_ptr<provider::CompletionQueue> create_queue(uint32_t) override {
      return std::make_unique<Queue>();
    }
    OwnFd fd_;
  };

  std::unique_ptr<provider::CompletionChannel> create_completion_channel() override {
    return std::make_unique<NotificationChannel>(fd_);
  }

  const int fd_ = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE);
};

struct NoHandler final : CompletionHandler {
  void complete(wire::Work, uint32_t, const ibv_wc&) noexcept override {}
  void settle() noexcept override {}
  void before_sleep() noexcept override {}
};

// Holds something until it is looked at; or goes on.
struct Holder final : CompletionHandler {
  void complete(wire::Work, uint32_t, const ibv_wc&) noexcept override {}
  void settle() noexcept override {}
  void before_sleep() noexcept override {
    ++looks;
    if (lets_go_of != nullptr) lets_go_of->unhold(this);
  }
  CompletionHub* lets_go_of = nullptr;
  int looks = 0;
};

bool readable(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, 0) == 1;
}

Channel& open_channel() {
  ChannelOptions options;
  options.entries = 8;
  return *Channel::open(OwnFd(epoll_create1(EPOLL_CLOEXEC)), options);
}

// A queue that was armed for solicited completions and then for all may have notified twice; each
// arming takes one. What is left must not keep the control thread busy.
TEST(Caretaker, TakesEachNotificationThatWakesIt) {
  IdleDevice device;
  NoHandler handler;
  Channel& channel = open_channel();
  CompletionHub::Seat seat;
  {
    const ChannelGuard guard(&channel);
    seat = channel.hub().join(device, 16, &handler);
    eventfd_write(device.fd_, 3);
    channel.tend(true);
  }
  const TimePoint limit = Clock::now() + std::chrono::seconds(10);
  while (readable(device.fd_) && Clock::now() < limit) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_FALSE(readable(device.fd_));
  const ChannelGuard guard(&channel);
  channel.tend(false);
  channel.hub().leave(seat);
  channel.close();
}

TEST(Caretaker, WatchesADeviceThatJoinsWhileItRests) {
  IdleDevice first;
  IdleDevice second;
  NoHandler handler;
  Channel& channel = open_channel();
  CompletionHub::Seat seats[2];
  const auto join = [&](CompletionHub::Seat& seat, IdleDevice& device) {
    const ChannelGuard guard(&channel);
    if (!seat) channel.tend(true);
    seat = channel.hub().join(device, 16, &handler);
  };
  // A notification is taken once somebody watches.
  const auto is_watched = [](const IdleDevice& device) {
    eventfd_write(device.fd_, 1);
    const TimePoint limit = Clock::now() + std::chrono::seconds(5);
    while (readable(device.fd_) && Clock::now() < limit) {
      std::this_thread::sleep_for(milliseconds(1));
    }
    return !readable(device.fd_);
  };
  join(seats[0], first);
  EXPECT_TRUE(is_watched(first));
  std::this_thread::sleep_for(milliseconds(100));
  join(seats[1], second);
  EXPECT_TRUE(is_watched(second));
  const ChannelGuard guard(&channel);
  channel.tend(false);
  channel.tend(false);
  for (CompletionHub::Seat& seat : seats) channel.hub().leave(seat);
  channel.close();
}

// Whoever relies on the channel, or has it tended, has brought a caretaker, who by now waits for
// completions only.
TEST(Caretaker, ComesAgainForWhatIsHeldLater) {
  IdleDevice device;
  Holder holder;
  Channel& channel = open_channel();
  CompletionHub::Seat seat;
  for (const int looks : {1, 2, 3}) {
    {
      const ChannelGuard guard(&channel);
      if (looks == 1) {
        seat = channel.hub().join(device, 16, &holder);
        holder.lets_go_of = &channel.hub();
        channel.tend(true);
      }
      channel.hub().hold(&holder);
    }
    const TimePoint limit = Clock::now() + std::chrono::seconds(10);
    int seen = 0;
    while (seen < looks && Clock::now() < limit) {
      std::this_thread::sleep_for(milliseconds(1));
      const ChannelGuard guard(&channel);
      seen = holder.looks;
    }
    ASSERT_GE(seen, looks);
  }
  const ChannelGuard guard(&channel);
  channel.tend(false);
  channel.hub().leave(seat);
  channel.close();
}

// The thread that sleeps there sees to what comes; the control thread does not look again and
// again.
TEST(Caretaker, RestsWhileAThreadLeads) {
  IdleDevice device;
  Holder holder;
  Channel& channel = open_channel();
  CompletionHub::Seat seat;
  {
    const ChannelGuard guard(&channel);
    seat = channel.hub().join(device, 16, &holder);
    channel.rely_on(true);
    channel.hub().hold(&holder);
  }
  ChannelGuard guard(&channel);
  const TimePoint limit = Clock::now() + milliseconds(100);
  guard->wait(guard.lock(), WaitFor::kEvent, limit, [] { return false; });
  EXPECT_LE(holder.looks, 10);
  channel.rely_on(false);
  channel.hub().leave(seat);
  channel.close();
}

// It looks again and again, could sleep by now, and has the lock nearly always.
TEST(Caretaker, HasSentWhatIsHeldThoughTheProgramPolls) {
  IdleDevice device;
  Holder holder;
  Channel& channel = open_channel();
  CompletionHub::Seat seat;
  event_data_t event;
  {
    const ChannelGuard guard(&channel);
    seat = channel.hub().join(device, 16, &holder);
    channel.arm_strictly();
    EXPECT_EQ(channel.next_events(&event, 1), -EAGAIN);
    channel.hub().hold(&holder);
  }
  const TimePoint start = Clock::now();
  int looks = 0;
  while (looks == 0 && Clock::now() - start < milliseconds(10'000)) {
    const ChannelGuard guard(&channel);
    EXPECT_EQ(channel.next_events(&event, 1), -EAGAIN);
    looks = holder.looks;
  }
  EXPECT_GT(looks, 0);
  const ChannelGuard guard(&channel);
  channel.hub().leave(seat);
  channel.close();
}

}  // namespace
}  // namespace sio::internal
