// SPDX-License-Identifier: BSD-2-Clause
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "memory/region.h"
#include "memory/stretch.h"
#include "random.h"
#include "region_fixture.h"

namespace sio::internal {
namespace {

class RegionStreamTest : public test::RegionFixture {
 protected:
  void TearDown() override {
    region->detach();
    RegionFixture::TearDown();
  }

  // A slot with so many bytes, of which `handed_out` are the program's.
  char* arrive(uint32_t slot, uint32_t bytes, uint32_t handed_out) {
    region->arrived_bytes(slot);
    if (handed_out > 0) region->hand_out_bytes(slot, handed_out, handed_out == bytes);
    if (handed_out == bytes) region->finish(slot);
    return region->slot(slot);
  }
};

using Slots = std::vector<uint32_t>;

TEST_F(RegionStreamTest, BytesAreReleasedFromTheFrontInAnyPortions) {
  char* p = arrive(2, 100, 100);
  EXPECT_EQ(area->release(p + 1, 1), -EINVAL);
  EXPECT_EQ(area->release(p, 101), -EINVAL);
  EXPECT_EQ(area->release(p, 0), -EINVAL);
  EXPECT_EQ(area->release(p, 1), 0);
  EXPECT_EQ(area->release(p, 1), -EINVAL);
  EXPECT_EQ(area->release(p + 1, 60), 0);
  EXPECT_EQ(collect(), Slots{});
  EXPECT_EQ(area->release(p + 61, 39), 0);
  EXPECT_EQ(collect(), Slots{2});
  EXPECT_EQ(area->release(p, 100), -EINVAL);
}

TEST_F(RegionStreamTest, ASlotStaysUntilAllOfItWasHandedOutAndReleased) {
  char* p = arrive(0, 100, 40);
  EXPECT_EQ(area->release(p, 40), 0);
  EXPECT_EQ(collect(), Slots{});
  region->hand_out_bytes(0, 30, false);
  EXPECT_EQ(area->release(p + 40, 10), 0);
  region->hand_out_bytes(0, 30, true);
  region->finish(0);
  EXPECT_EQ(area->release(p + 50, 51), -EINVAL);
  EXPECT_EQ(area->release(p + 50, 50), 0) << "of two portions at once";
  EXPECT_EQ(collect(), Slots{0});
}

TEST_F(RegionStreamTest, WhatIsDeliveredAtOnceIsAsWhatWasHandedOut) {
  region->deliver_bytes(1, 50);
  EXPECT_EQ(area->release(region->slot(1), 20), 0);
  EXPECT_EQ(area->release(region->slot(1) + 20, 30), 0);
  EXPECT_EQ(collect(), Slots{1});
}

TEST_F(RegionStreamTest, AFlightKeepsItsBytesAndThoseBehind) {
  char* p = arrive(3, 100, 100);
  Flight flight;
  EXPECT_EQ(area->begin_flight(p + 40, 61, flight, false), -EFAULT);
  EXPECT_EQ(area->begin_flight(p + 40, 10, flight, true), -EINVAL);
  ASSERT_EQ(area->begin_flight(p + 40, 10, flight, false), 0);
  EXPECT_EQ(stat().in_flight, kSlot);
  EXPECT_EQ(area->release(p, 41), -EINVAL);
  EXPECT_EQ(area->release(p, 40), 0);
  EXPECT_EQ(area->release(p + 40, 1), -EINVAL);
  EXPECT_EQ(area->begin_flight(p + 39, 1, flight, false), -EFAULT) << "released";
  Area::end_flight(flight, false);
  EXPECT_EQ(area->release(p + 40, 60), 0);
  EXPECT_EQ(collect(), Slots{3});
}

TEST_F(RegionStreamTest, AllThatASlotHasCanBeGivenAway) {
  char* p = arrive(3, 100, 60);
  Flight flight;
  EXPECT_EQ(area->begin_flight(p, 60, flight, true), -EINVAL) << "more is to come";
  region->hand_out_bytes(3, 40, true);
  region->finish(3);
  EXPECT_EQ(area->release(p, 10), 0);
  Flight other;
  ASSERT_EQ(area->begin_flight(p + 20, 5, other, false), 0);
  ASSERT_EQ(area->begin_flight(p + 10, 90, flight, true), 0);
  Area::end_flight(flight, true);
  EXPECT_EQ(area->begin_flight(p + 10, 1, flight, false), -EFAULT) << "given away";
  EXPECT_EQ(area->release(p + 10, 1), -EINVAL);
  EXPECT_EQ(collect(), Slots{});
  Area::end_flight(other, false);
  EXPECT_EQ(collect(), Slots{3});
}

TEST_F(RegionStreamTest, FlightsAreLimited) {
  char* p = arrive(3, 100, 100);
  std::vector<Flight> flights(stretch::kMaxFlights);
  for (Flight& one : flights) ASSERT_EQ(area->begin_flight(p, 1, one, false), 0);
  Flight flight;
  EXPECT_EQ(area->begin_flight(p, 1, flight, false), -EAGAIN);
  for (const Flight& one : flights) Area::end_flight(one, false);
  EXPECT_EQ(area->release(p, 100), 0);
  collect();
}

TEST_F(RegionStreamTest, WhatNobodyHasSeenIsTakenBack) {
  arrive(0, 100, 100);
  region->take_back(0, 0);
  EXPECT_EQ(collect(), Slots{0});
  char* p = arrive(1, 100, 100);
  EXPECT_EQ(area->release(p, 100), 0);  // by a program that guessed
  region->take_back(1, 0);
  EXPECT_EQ(collect(), Slots{1});
}

// Random steps beside a model: a front and an end, no more.
TEST_F(RegionStreamTest, IsLikeItsModel) {
  test::Random random(4);
  for (int round = 0; round < 2000; ++round) {
    const auto size = static_cast<uint32_t>(1 + random.below(kSlot));
    uint32_t front = 0;
    uint32_t end = 0;
    region->arrived_bytes(0);
    char* const p = region->slot(0);
    while (front < size) {
      if (end < size && random.one_in(2)) {
        const auto n = static_cast<uint32_t>(1 + random.below(size - end));
        end += n;
        region->hand_out_bytes(0, n, end == size);
        if (end == size) region->finish(0);
      }
      const auto at = static_cast<uint32_t>(random.one_in(4) ? random.below(kSlot) : front);
      const auto n = static_cast<uint32_t>(random.below(size / 2 + 2));
      const bool good = at == front && n > 0 && n <= end - front;
      ASSERT_EQ(area->release(p + at, n), good ? 0 : -EINVAL) << at << ' ' << n;
      if (good) front += n;
    }
    ASSERT_EQ(collect(), Slots{0});
  }
}

// One thread hands out byte by byte, two compete for each byte to release it.
TEST_F(RegionStreamTest, EachByteIsReleasedOnce) {
  constexpr int kRounds = 200;
  for (int round = 0; round < kRounds; ++round) {
    region->arrived_bytes(0);
    char* const p = region->slot(0);
    std::atomic<uint32_t> released{0};
    const auto compete = [&] {
      for (uint32_t i = 0; i < kSlot; ++i) {
        while (released.load() <= i) {
          if (area->release(p + i, 1) == 0) ++released;
        }
      }
    };
    std::thread one(compete);
    std::thread other(compete);
    for (uint32_t i = 1; i <= kSlot; ++i) region->hand_out_bytes(0, 1, i == kSlot);
    region->finish(0);
    one.join();
    other.join();
    EXPECT_EQ(released, kSlot);
    ASSERT_EQ(collect(), Slots{0});
  }
}

}  // namespace
}  // namespace sio::internal
