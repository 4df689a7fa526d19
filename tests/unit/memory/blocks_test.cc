// SPDX-License-Identifier: BSD-2-Clause
#include "memory/blocks.h"

#include <gtest/gtest.h>

#include "memory/size_classes.h"
#include "random.h"

namespace sio::internal {
namespace {

TEST(SizeClasses, BlocksOfTheFittingClassFit) {
  test::Random random(1);
  for (int i = 0; i < 200000; ++i) {
    const uint32_t lines = (random.next() >> random.below(32)) | 1;
    const uint32_t fits = class_that_fits(lines);
    EXPECT_LT(class_of(lines), kSizeClasses);
    EXPECT_GE(fits, class_of(lines));
    EXPECT_LE(fits, class_of(lines) + 1);
    // One line less belongs to a class before that one: so all that is in it is large enough.
    if (lines > 1) {
      EXPECT_LT(class_of(lines - 1), fits);
    }
  }
}

TEST(SizeClasses, AreInTheOrderOfSizes) {
  uint32_t last = 0;
  for (uint32_t lines = 1; lines < 100000; ++lines) {
    EXPECT_GE(class_of(lines), last);
    last = class_of(lines);
  }
}

// A Blocks object has tables that live for ever, as areas do; keep it reachable for the leak check.
Blocks& blocks() {
  static auto* blocks = new Blocks;
  return *blocks;
}

class BlocksTest : public testing::Test {
 protected:
  static constexpr uint32_t kLines = 1000;

  void SetUp() override { b.open(kLines); }
  void TearDown() override { b.close(); }

  uint32_t take(uint32_t lines) {
    const uint32_t index = b.take(lines);
    if (index != 0) b.at(index).state = block_state::make(block_state::kReserved, 1);
    return index;
  }

  Blocks& b = blocks();
};

TEST_F(BlocksTest, FindsABlockFromEachOfItsLines) {
  const uint32_t first = take(300);
  const uint32_t second = take(700);
  for (uint32_t line = 0; line < kLines; ++line) {
    EXPECT_EQ(b.find(line), line < 300 ? first : second);
  }
}

TEST_F(BlocksTest, FindsTheWholeOnceBlocksHaveMerged) {
  const uint32_t first = b.take(40);
  const uint32_t second = b.take(10);
  const uint32_t start = b.at(first).start.load();
  b.give_back(first);
  b.give_back(second);
  const uint32_t whole = b.first();
  EXPECT_EQ(b.next(whole), 0u);
  for (uint32_t i = 0; i < 50; ++i) EXPECT_EQ(b.find(start + i), whole);
}

TEST_F(BlocksTest, FindsNothingBeyondTheTables) { EXPECT_EQ(b.find(size_t{1} << 40), 0u); }

TEST_F(BlocksTest, FindsNothingWhenClosed) {
  b.close();
  for (uint32_t line = 0; line < kLines; ++line) EXPECT_EQ(b.find(line), 0u);
}

TEST_F(BlocksTest, TakesTheLastBlockThatFitsThoughItsClassHoldsSmallerOnes) {
  // 960 and 961 are in one class, in which 961 is not sure to fit.
  ASSERT_EQ(class_of(960), class_of(961));
  const uint32_t a = take(961);
  const uint32_t rest = take(kLines - 961);
  b.give_back(a);
  const uint32_t again = take(961);
  EXPECT_NE(again, 0u);
  b.give_back(again);
  b.give_back(rest);
}

TEST_F(BlocksTest, MergesWithBothNeighbours) {
  const uint32_t x = take(100);
  const uint32_t y = take(100);
  const uint32_t z = take(100);
  b.give_back(x);
  b.give_back(z);
  EXPECT_FALSE(b.all_free());
  b.give_back(y);
  EXPECT_TRUE(b.all_free());
  EXPECT_EQ(b.next(b.first()), 0u);
  EXPECT_EQ(b.at(b.first()).lines, kLines);
}

TEST_F(BlocksTest, ReopensLargerAndSmaller) {
  for (uint32_t lines : {10u, 100000u, 1u, 2500u, 200000u}) {
    b.close();
    b.open(lines);
    EXPECT_EQ(b.at(b.first()).lines, lines);
    EXPECT_EQ(take(lines + 1), 0u);
    const uint32_t all = take(lines);
    EXPECT_EQ(b.find(lines - 1), all);
    b.give_back(all);
  }
}

}  // namespace
}  // namespace sio::internal
