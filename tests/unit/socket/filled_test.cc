// SPDX-License-Identifier: BSD-2-Clause
#include "socket/filled.h"

#include <gtest/gtest.h>

namespace sio::internal {
namespace {

TEST(FilledSlotsTest, ComeOutInTheOrderOfArrival) {
  FilledSlots filled;
  ASSERT_TRUE(filled.reserve(3));
  for (uint32_t round = 0; round < 10; ++round) {
    for (uint32_t i = 0; i < 3; ++i) filled.push({round + i, i, i == 1});
    for (uint32_t i = 0; i < 3; ++i) {
      ASSERT_FALSE(filled.empty());
      EXPECT_EQ(filled.front().slot, round + i);
      EXPECT_EQ(filled.front().length, i);
      EXPECT_EQ(filled.front().train, i == 1);
      filled.pop();
    }
    EXPECT_TRUE(filled.empty());
  }
}

// What is there lies across the end of the old ring.
TEST(FilledSlotsTest, KeepTheirOrderWhenThereIsMoreRoom) {
  FilledSlots filled;
  ASSERT_TRUE(filled.reserve(4));
  for (uint32_t i = 0; i < 3; ++i) {
    filled.push({i, 0, false});
    filled.pop();
  }
  for (uint32_t i = 0; i < 4; ++i) filled.push({i, 0, false});
  ASSERT_TRUE(filled.reserve(9));
  for (uint32_t i = 4; i < 9; ++i) filled.push({i, 0, false});
  for (uint32_t i = 0; i < 9; ++i) {
    ASSERT_FALSE(filled.empty());
    EXPECT_EQ(filled.front().slot, i);
    filled.pop();
  }
  EXPECT_TRUE(filled.empty());
}

}  // namespace
}  // namespace sio::internal
