// SPDX-License-Identifier: BSD-2-Clause
//
// Regions: detaching, reuse, and the callback.
#include <gtest/gtest.h>

#include <vector>

#include "region_fixture.h"

namespace sio::internal {
namespace {

class RegionEnd : public test::RegionFixture {};

TEST_F(RegionEnd, HeldMessagesOutliveDetach) {
  char* p = lone(0, 100);
  const std::vector<char*> m = train(1, {10, 20});
  EXPECT_EQ(area->release(lone(2, 5), 5), 0);  // returned, not collected
  region->arrived(3, false);                   // not even decoded
  region->detach();
  EXPECT_EQ(stat().received, 2u * kSlot);
  EXPECT_EQ(stat().posted, kBytes - 2u * kSlot);
  EXPECT_EQ(area->destroy(kSize), -EBUSY);
  EXPECT_EQ(area->release(m[1], 20), 0);
  EXPECT_EQ(area->release(p, 100), 0);
  EXPECT_EQ(area->release(p, 100), -EINVAL);
  const Flight flight = begin(m[0], 10, true);
  EXPECT_EQ(stat().in_flight, kSlot);
  Area::end_flight(flight, true);
  EXPECT_EQ(stat().free, kSize);
  EXPECT_EQ(area->release(m[0], 10), -EINVAL);
}

TEST_F(RegionEnd, DetachCountsWhatWasTakenOffButNotCollected) {
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(area->release(lone(i, 1), 1), 0);
  uint32_t one;
  EXPECT_EQ(region->collect(&one, 1), 1);
  char* p = lone(one, 9);
  region->detach();
  EXPECT_EQ(stat().received, kSlot);
  EXPECT_EQ(area->release(p, 9), 0);
}

TEST_F(RegionEnd, RegionsAreReusedWithOtherGeometry) {
  region->detach();
  for (int round = 0; round < 50; ++round) {
    const uint32_t slots = 1 + static_cast<uint32_t>(round) * 7 % 40;
    const uint32_t size = 64 * (1 + static_cast<uint32_t>(round) % 5);
    Region* other = Region::create(*area, size_t{slots} * size, size, slots);
    for (uint32_t i = 0; i < slots; ++i) {
      other->arrived(i, i % 2 == 0);
      other->hand_out(i, 0, size);
    }
    other->detach();
    for (uint32_t i = 0; i < slots; ++i) EXPECT_EQ(area->release(area->base() + i * size, size), 0);
    EXPECT_EQ(stat().free, kSize);
  }
}

// The callback.

TEST_F(RegionEnd, CallsBackOnceAtTheThresholdUntilCollected) {
  int calls = 0;
  region->set_on_returned([](void* arg) { ++*static_cast<int*>(arg); }, &calls, 3);
  for (int round = 1; round <= 3; ++round) {
    char* p[5];
    for (uint32_t i = 0; i < 5; ++i) p[i] = lone(i, 1);
    for (int i = 0; i < 5; ++i) {
      EXPECT_EQ(area->release(p[i], 1), 0);
      EXPECT_EQ(calls, i < 2 ? round - 1 : round);
    }
    EXPECT_EQ(collect().size(), 5u);
  }
  region->detach();
}

TEST_F(RegionEnd, CallsBackForTheFirstOneThatComesToAWatcher) {
  int calls = 0;
  region->set_on_returned([](void* arg) { ++*static_cast<int*>(arg); }, &calls, 3);
  for (int round = 1; round <= 3; ++round) {
    char* const first = lone(0, 1);
    char* const second = lone(1, 1);
    EXPECT_FALSE(region->watch());
    EXPECT_FALSE(region->watch());
    EXPECT_EQ(collect().size(), 0u) << "a watcher is no slot";
    EXPECT_EQ(area->release(first, 1), 0);
    EXPECT_EQ(calls, round);
    EXPECT_TRUE(region->watch());
    EXPECT_EQ(area->release(second, 1), 0);
    EXPECT_EQ(calls, round) << "it was told, and has not come";
    EXPECT_EQ(collect().size(), 2u);
    char* const third = lone(2, 1);
    EXPECT_EQ(area->release(third, 1), 0);
    EXPECT_EQ(calls, round) << "it has come, and watches no more";
    EXPECT_TRUE(region->watch()) << "it looks first";
    EXPECT_EQ(collect().size(), 1u);
  }
  region->detach();
}

TEST_F(RegionEnd, CallsBackForFlightsThatReleaseButNotForTheLibrarysOwnDoing) {
  int calls = 0;
  region->set_on_returned([](void* arg) { ++*static_cast<int*>(arg); }, &calls, 1);
  region->arrived(0, false);
  region->finish(0);
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(region->returned(), 1u);
  Area::end_flight(begin(lone(1, 5), 5), true);
  EXPECT_EQ(calls, 1) << "though the threshold was passed before";
  region->detach();
}

TEST_F(RegionEnd, DoesNotCallBackAfterDetach) {
  int calls = 0;
  region->set_on_returned([](void* arg) { ++*static_cast<int*>(arg); }, &calls, 1);
  char* p = lone(0, 5);
  region->detach();
  EXPECT_EQ(area->release(p, 5), 0);
  EXPECT_EQ(calls, 0);
}

}  // namespace
}  // namespace sio::internal
