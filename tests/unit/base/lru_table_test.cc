// SPDX-License-Identifier: BSD-2-Clause
#include "base/lru_table.h"

#include <gtest/gtest.h>

#include <list>
#include <vector>

namespace sio::internal {
namespace {

struct Key {
  int number = 0;
  bool operator==(const Key&) const = default;
  uint64_t hash(uint64_t) const { return static_cast<uint64_t>(number % 3); }  // many collide
};

using Table = LruTable<Key, int>;

bool any(const int&) { return true; }

std::vector<int> keys_of(Table& table) {
  std::vector<int> keys;
  table.for_each([&](const Key& key, const int&) { keys.push_back(key.number); });
  return keys;
}

TEST(LruTableTest, SaysWhetherThereIsAPlaceForAnother) {
  Table table(2);
  const auto none = [](const int&) { return false; };
  const auto tens = [](const int& value) { return value == 10; };
  *table.make({1}, any) = 10;
  EXPECT_TRUE(table.has_place(none));
  *table.make({2}, any) = 20;
  EXPECT_FALSE(table.has_place(none));
  EXPECT_EQ(table.make({3}, none), nullptr);
  EXPECT_TRUE(table.has_place(tens));
  EXPECT_NE(table.make({3}, tens), nullptr);
  EXPECT_FALSE(table.has_place(tens));
}

TEST(LruTableTest, FindsWhatIsThere) {
  Table table(4);
  EXPECT_EQ(table.find({1}), nullptr);
  *table.make({1}, any) = 10;
  *table.make({4}, any) = 40;
  EXPECT_EQ(*table.find({1}), 10);
  EXPECT_EQ(*table.find({4}), 40);
  EXPECT_EQ(table.find({7}), nullptr);
  table.erase({1});
  EXPECT_EQ(table.find({1}), nullptr);
  EXPECT_EQ(*table.peek({4}), 40);
  EXPECT_EQ(table.size(), 1u);
}

TEST(LruTableTest, ForgetsWhatWasUsedLongestAgo) {
  Table table(3);
  for (int i = 1; i <= 3; ++i) *table.make({i}, any) = i;
  table.find({1});
  table.peek({2});  // is no use
  *table.make({4}, any) = 4;
  EXPECT_EQ(keys_of(table), (std::vector<int>{4, 1, 3}));
}

TEST(LruTableTest, KeepsWhatMayNotGo) {
  Table table(2);
  *table.make({1}, any) = 1;
  *table.make({2}, any) = 2;
  *table.make({3}, [](const int& value) { return value != 1; }) = 3;
  EXPECT_EQ(keys_of(table), (std::vector<int>{3, 1}));
  EXPECT_EQ(table.make({4}, [](const int&) { return false; }), nullptr);
  EXPECT_EQ(keys_of(table), (std::vector<int>{3, 1}));
}

TEST(LruTableTest, EntriesBeginFresh) {
  Table table(1);
  *table.make({1}, any) = 5;
  EXPECT_EQ(*table.make({2}, any), 0);
}

TEST(LruTableTest, IsAsASimpleList) {
  constexpr size_t kMost = 5;
  Table table(kMost);
  std::list<std::pair<int, int>> model;
  unsigned random = 1;
  for (int step = 0; step < 20'000; ++step) {
    random = random * 1103515245 + 12345;
    const int key = static_cast<int>(random >> 16) % 9;
    auto found = model.begin();
    while (found != model.end() && found->first != key) ++found;
    int* const value = table.find({key});
    ASSERT_EQ(value != nullptr, found != model.end());
    if (value == nullptr) {
      if (model.size() == kMost) model.pop_back();
      model.emplace_front(key, step);
      *table.make({key}, any) = step;
    } else if (step % 4 == 0) {
      model.erase(found);
      table.erase({key});
    } else {
      ASSERT_EQ(*value, found->second);
      model.splice(model.begin(), model, found);
    }
    std::vector<int> keys;
    for (const auto& one : model) keys.push_back(one.first);
    ASSERT_EQ(keys_of(table), keys);
  }
}

}  // namespace
}  // namespace sio::internal
