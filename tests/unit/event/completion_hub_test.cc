// SPDX-License-Identifier: BSD-2-Clause
#include "event/completion_hub.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "unit/event/channels_device.h"

namespace sio::internal {
namespace {

constexpr uint32_t kMostEntries = 1000;

// Whose completion queues can be made larger, or can not.
struct FakeDevice final : ChannelsDevice {
  struct Queue final : provider::CompletionQueue {
    Queue(FakeDevice& device, uint32_t entries) noexcept : device_(device), entries_(entries) {}
    uint32_t capacity() const noexcept override { return entries_; }
    int poll(int, ibv_wc*) noexcept override { return 0; }
    int arm(bool) noexcept override { return 0; }
    int resize(uint32_t entries) noexcept override {
      if (!device_.grows_) return -EOPNOTSUPP;
      if (entries > device_.memory_) return -ENOMEM;
      entries_ = entries;
      return 0;
    }

    FakeDevice& device_;
    uint32_t entries_;
  };
  struct Channel final : provider::CompletionChannel {
    explicit Channel(FakeDevice& device) : device_(device) {}
    int fd() const noexcept override { return fd_.get(); }
    bool take_notifications(unsigned) noexcept override { return !device_.gone_; }
    std::unique_ptr<provider::CompletionQueue> create_queue(uint32_t entries) override {
      device_.made_.push_back(entries);
      return std::make_unique<Queue>(device_, entries);
    }
    FakeDevice& device_;
    OwnFd fd_{eventfd(0, EFD_NONBLOCK)};
  };

  explicit FakeDevice(bool grows) : ChannelsDevice(kMostEntries), grows_(grows) {}
  std::unique_ptr<provider::CompletionChannel> create_completion_channel() override {
    return std::make_unique<Channel>(*this);
  }

  const bool grows_;
  bool gone_ = false;
  uint32_t memory_ = kMostEntries;  // of a queue that is made larger
  std::vector<uint32_t> made_;      // entries of the queues that were made
};

struct NoHandler final : CompletionHandler {
  void complete(wire::Work, uint32_t, const ibv_wc&) noexcept override {}
  void settle() noexcept override {}
  void before_sleep() noexcept override {}
};

class HubTest : public testing::Test {
 protected:
  void join(FakeDevice& device, uint32_t entries, uint32_t spare = 0) {
    seats_.push_back(hub_.join(device, entries, &handler_, spare));
    ++in_queue_[seats_.back().queue];
  }

  OwnFd epoll_{epoll_create1(EPOLL_CLOEXEC)};
  NoHandler handler_;
  CompletionHub hub_{epoll_.get(), 0, [](int) {}};
  std::vector<CompletionHub::Seat> seats_;
  std::map<provider::CompletionQueue*, int> in_queue_;
};

// A thread that sleeps on the descriptors themselves would be woken by it for ever.
TEST_F(HubTest, GivesNoDescriptorOfADeviceThatHasGone) {
  FakeDevice device(true);
  join(device, 200);
  int descriptors = 0;
  const auto count = [&](int) { ++descriptors; };
  hub_.arm();
  hub_.for_each_descriptor(count);
  EXPECT_EQ(descriptors, 1);
  device.gone_ = true;
  hub_.notified();
  hub_.arm();
  hub_.for_each_descriptor(count);
  EXPECT_EQ(descriptors, 1);
}

TEST_F(HubTest, FirstQueueIsAsLargeAsItsQueuePairNeeds) {
  FakeDevice device(true);
  join(device, 200, 55);
  EXPECT_EQ(device.made_, std::vector<uint32_t>{255});
}

// A power of two less one: a device would take the memory of that anyway.
TEST_F(HubTest, QueueIsAsLargeAsItsMemoryAllows) {
  FakeDevice device(true);
  join(device, 200, 56);
  EXPECT_EQ(device.made_, std::vector<uint32_t>{511});
  join(device, 311);
  EXPECT_EQ(seats_.front().queue->capacity(), 511u);
}

TEST_F(HubTest, QueueIsMadeLargerForMoreQueuePairs) {
  FakeDevice device(true);
  for (int i = 0; i < 10; ++i) join(device, 100);
  EXPECT_EQ(device.made_, std::vector<uint32_t>{127});
  EXPECT_EQ(in_queue_.size(), 1u);
  EXPECT_EQ(seats_.front().queue->capacity(), kMostEntries);
  EXPECT_TRUE(hub_.is_calm());
}

TEST_F(HubTest, QueueThatIsAsLargeAsAnyGetsASecondOne) {
  FakeDevice device(true);
  for (int i = 0; i < 12; ++i) join(device, 100);
  EXPECT_EQ(device.made_, (std::vector<uint32_t>{127, 127}));
  EXPECT_EQ(in_queue_[seats_.front().queue], 10);
  EXPECT_EQ(seats_.back().queue->capacity(), 255u);
  EXPECT_FALSE(hub_.is_calm());
}

TEST_F(HubTest, EachIsTwiceAsLargeAsTheLastWhereNoneCanBeMadeLarger) {
  FakeDevice device(false);
  for (int i = 0; i < 7; ++i) join(device, 100);
  EXPECT_EQ(device.made_, (std::vector<uint32_t>{127, 255, 511}));
}

TEST_F(HubTest, SecondBeginsSmallWhereThereIsNoMemoryForALargerOne) {
  FakeDevice device(true);
  device.memory_ = 511;
  for (int i = 0; i < 7; ++i) join(device, 100);
  EXPECT_EQ(device.made_, (std::vector<uint32_t>{127, 127}));
  EXPECT_EQ(in_queue_[seats_.front().queue], 5);
  device.memory_ = 0;
  for (int i = 0; i < 3; ++i) join(device, 100);
  EXPECT_EQ(device.made_, std::vector<uint32_t>(5, 127)) << "no larger than they must be";
}

TEST_F(HubTest, QueueIsMadeLargerForASeatBesideAnother) {
  FakeDevice device(true);
  join(device, 500);
  EXPECT_TRUE(hub_.join_beside(seats_.front(), 500, &handler_));
  EXPECT_FALSE(hub_.join_beside(seats_.front(), 1, &handler_)) << "that is all it takes";
  EXPECT_EQ(device.made_, std::vector<uint32_t>{511});
}

TEST_F(HubTest, RoomThatWasGivenUpIsTakenAgain) {
  FakeDevice device(false);
  for (int i = 0; i < 3; ++i) join(device, 100);
  hub_.leave(seats_.front());
  join(device, 100);
  EXPECT_EQ(device.made_, (std::vector<uint32_t>{127, 255}));
}

// Has something that is not let go of.
struct Holder final : CompletionHandler {
  void complete(wire::Work, uint32_t, const ibv_wc&) noexcept override {}
  void settle() noexcept override {}
  void before_sleep() noexcept override { ++looks; }
  int looks = 0;
};

TEST_F(HubTest, WhatIsHeldLeavesWhenNothingWasAddedForATick) {
  Holder quiet;
  Holder busy;
  hub_.hold(&quiet);
  hub_.hold(&busy);
  hub_.tick();
  EXPECT_EQ(quiet.looks, 0) << "it may have come just before the tick";
  for (int ticks = 1; ticks <= 3; ++ticks) {
    hub_.hold(&busy);
    hub_.tick();
    EXPECT_EQ(quiet.looks, ticks);
  }
  EXPECT_EQ(busy.looks, 0);
  hub_.before_sleep();
  EXPECT_EQ(quiet.looks, 4);
  EXPECT_EQ(busy.looks, 1);
  hub_.unhold(&quiet);
  hub_.unhold(&busy);
  hub_.tick();
  EXPECT_EQ(quiet.looks, 4);
}

}  // namespace
}  // namespace sio::internal
