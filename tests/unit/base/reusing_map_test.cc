// SPDX-License-Identifier: BSD-2-Clause
#include "base/reusing_map.h"

#include <gtest/gtest.h>

#include <memory>

namespace sio::internal {
namespace {

TEST(ReusingMapTest, HoldsWhatWasPutLast) {
  ReusingMap<int, int> map;
  map.put(2, 20);
  map.put(1, 10);
  map.put(2, 21);
  EXPECT_EQ(map.begin()->second, 10);
  EXPECT_EQ(map.find(2)->second, 21);
  EXPECT_TRUE(map.erase(1));
  EXPECT_FALSE(map.erase(1));
  EXPECT_EQ(map.begin()->first, 2);
  map.erase(map.begin());
  EXPECT_TRUE(map.empty());
}

TEST(ReusingMapTest, UsesAgainWhatWasErased) {
  ReusingMap<int, int> map(2);
  const int* const first = &map.put(1, 1)->second;
  const int* const second = &map.put(2, 2)->second;
  map.erase(1);
  EXPECT_EQ(&map.put(7, 7)->second, first);
  EXPECT_EQ(map.find(7)->second, 7);
  EXPECT_EQ(map.find(1), map.end());
  map.erase(2);
  map.erase(7);
  const int* const again = &map.put(3, 3)->second;
  EXPECT_TRUE(again == first || again == second);
}

TEST(ReusingMapTest, KeepsNothingOfWhatWasErased) {
  ReusingMap<int, std::shared_ptr<int>> map(1);
  auto held = std::make_shared<int>();
  map.put(1, held);
  EXPECT_EQ(held.use_count(), 2);
  map.erase(1);
  EXPECT_EQ(held.use_count(), 1);
}

TEST(ReusingMapTest, GrowsWithWhatThereIs) {
  ReusingMap<int, int> map(1);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 100; ++i) map.put(i, i);
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(map.erase(i));
    EXPECT_TRUE(map.empty());
  }
}

}  // namespace
}  // namespace sio::internal
