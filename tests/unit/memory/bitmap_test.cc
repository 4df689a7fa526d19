// SPDX-License-Identifier: BSD-2-Clause
#include "memory/bitmap.h"

#include <gtest/gtest.h>

#include <iterator>
#include <memory>
#include <set>

#include "random.h"

namespace sio::internal {
namespace {

struct TestBitmap {
  explicit TestBitmap(uint32_t n)
      : words(new Bitmap::Word[Bitmap::words_for(n)]()), bits(words.get(), n) {}
  std::unique_ptr<Bitmap::Word[]> words;
  Bitmap bits;
};

TEST(Bitmap, EmptyHasNothingAtOrBelowAnything) {
  TestBitmap t(70000);
  for (uint32_t x : {0u, 1u, 63u, 64u, 4095u, 4096u, 69999u}) {
    EXPECT_EQ(t.bits.find_at_or_below(x), Bitmap::kNone) << x;
  }
}

TEST(Bitmap, FindsItselfAndNothingAboveX) {
  TestBitmap t(1000);
  t.bits.insert(500);
  EXPECT_EQ(t.bits.find_at_or_below(500), 500u);
  EXPECT_EQ(t.bits.find_at_or_below(999), 500u);
  EXPECT_EQ(t.bits.find_at_or_below(499), Bitmap::kNone);
}

TEST(Bitmap, CrossesEveryLevel) {
  constexpr uint32_t kN = 64u * 64 * 64 + 1;  // four levels
  TestBitmap t(kN);
  t.bits.insert(0);
  for (uint32_t x : {0u, 63u, 64u, 4095u, 4096u, 64u * 64 * 64 - 1, kN - 1}) {
    EXPECT_EQ(t.bits.find_at_or_below(x), 0u) << x;
  }
}

TEST(Bitmap, WordsForCountsAllLevels) {
  EXPECT_EQ(Bitmap::words_for(1), 1u);
  EXPECT_EQ(Bitmap::words_for(64), 1u);
  EXPECT_EQ(Bitmap::words_for(65), 3u);
  EXPECT_EQ(Bitmap::words_for(4096), 65u);
  EXPECT_EQ(Bitmap::words_for(4097), 68u);
}

TEST(Bitmap, AgreesWithASet) {
  for (uint32_t n : {1u, 64u, 65u, 5000u, 300000u}) {
    TestBitmap t(n);
    std::set<uint32_t> model;
    test::Random random(n);
    for (int step = 0; step < 20000; ++step) {
      const uint32_t x = random.below(n);
      switch (random.below(3)) {
        case 0:
          t.bits.insert(x);
          model.insert(x);
          break;
        case 1:
          t.bits.erase(x);
          model.erase(x);
          break;
        default:
          break;
      }
      const uint32_t y = random.below(n);
      const auto above = model.upper_bound(y);
      const uint32_t expected = above == model.begin() ? Bitmap::kNone : *std::prev(above);
      ASSERT_EQ(t.bits.find_at_or_below(y), expected) << "n " << n << " step " << step;
    }
  }
}

}  // namespace
}  // namespace sio::internal
