// SPDX-License-Identifier: BSD-2-Clause
#include "socket/lane.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sio::internal {
namespace {

bool stays_busy(uint32_t ahead, uint32_t waiting, uint32_t length) {
  return lane_stays_busy(ahead, waiting, [=](uint32_t) { return length; });
}

constexpr uint32_t kSmall = 16 * 1024;
constexpr uint32_t kLarge = 64 * 1024;

TEST(BulkLane, IsIdleSoonWithFewMessages) {
  for (const uint32_t length : {kSmall, kLarge, 1u << 30}) {
    EXPECT_FALSE(stays_busy(0, 1, length));
    EXPECT_FALSE(stays_busy(kLaneBusy - 1, 1, length));
    EXPECT_FALSE(stays_busy(kLaneBusy - 1, 60, length));
  }
}

TEST(BulkLane, StaysBusyWithAsManyAsWait) {
  EXPECT_TRUE(stays_busy(kLaneBusy, kLaneBusy, kSmall));
  EXPECT_TRUE(stays_busy(8, 8, kSmall));
  EXPECT_FALSE(stays_busy(8, 9, kSmall));
}

TEST(BulkLane, StaysBusyWithBytesEnoughHoweverManyWait) {
  EXPECT_TRUE(stays_busy(kLaneBusy, 60, kLarge));
  EXPECT_FALSE(stays_busy(kLaneBusy, 60, kLarge - 1));
}

// Else it would read beyond those that are under way.
TEST(BulkLane, AsksForNoLengthBeyondThoseThatAreAhead) {
  uint32_t most = 0;
  lane_stays_busy(kLaneBusy, 60, [&](uint32_t i) {
    most = std::max(most, i);
    return kLarge;
  });
  EXPECT_EQ(most, kLaneBusy - 1);
}

// Lengths of a gibibyte each add up to more than 32 bits have.
TEST(BulkLane, CountsBytesOfTheLargestMessages) {
  EXPECT_TRUE(stays_busy(kLaneBusy, 60, uint32_t{1} << 30));
}

}  // namespace
}  // namespace sio::internal
