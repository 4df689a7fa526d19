// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/memory_table.h"

#include <gtest/gtest.h>

#include <set>

namespace sio::internal::provider::soft {
namespace {

uint64_t at(const char* p) { return reinterpret_cast<uintptr_t>(p); }

TEST(MemoryTableTest, CoversWhatWasAddedAndNothingElse) {
  MemoryTable table;
  char memory[100] = {};
  const uint32_t key = table.add(memory, sizeof memory);
  EXPECT_TRUE(table.covers(key, at(memory), 100));
  EXPECT_TRUE(table.covers(key, at(memory + 99), 1));
  EXPECT_TRUE(table.covers(key, at(memory + 100), 0));
  EXPECT_FALSE(table.covers(key, at(memory + 99), 2));
  EXPECT_FALSE(table.covers(key, at(memory) - 1, 1));
  EXPECT_FALSE(table.covers(key, at(memory), SIZE_MAX));
  EXPECT_FALSE(table.covers(key + 1, at(memory), 1));
  EXPECT_FALSE(table.covers(0, at(memory), 1));
  EXPECT_FALSE(table.covers(UINT32_MAX, at(memory), 1));
}

TEST(MemoryTableTest, GivesNoKeyOutAgainSoon) {
  MemoryTable table;
  char memory[8] = {};
  std::set<uint32_t> keys;
  for (int i = 0; i < 200; ++i) {
    const uint32_t key = table.add(memory, sizeof memory);
    EXPECT_TRUE(keys.insert(key).second);
    table.remove(key);
    EXPECT_FALSE(table.covers(key, at(memory), 1));
  }
}

TEST(MemoryTableTest, RefusesMoreThanItHasRoomFor) {
  MemoryTable table;
  char memory[8] = {};
  for (size_t i = 1; i < MemoryTable::kMost; ++i) table.add(memory, 8);
  EXPECT_THROW(table.add(memory, 8), std::system_error);
}

}  // namespace
}  // namespace sio::internal::provider::soft
