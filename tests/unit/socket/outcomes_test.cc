// SPDX-License-Identifier: BSD-2-Clause
#include "socket/outcomes.h"

#include <gtest/gtest.h>

#include <deque>
#include <numeric>
#include <vector>

namespace sio::internal {
namespace {

struct Heard : Completion {
  std::vector<int> errors;
  void sent(int error) noexcept override { errors.push_back(error); }
  size_t most() const noexcept override { return 0; }
  void received(const Socket&, void*, int) noexcept override {}
};

// Messages of which nothing is lent, and of whose outcomes we hear.
class OutcomesTest : public testing::Test {
 protected:
  void SetUp() override { outcomes_.prepare(true); }

  Heard& add(bool bulk) {
    Heard& one = heard_.emplace_back();
    SendRecord record{};
    record.silent = true;
    record.completion = &one;
    bulk ? outcomes_.add_bulk(record) : outcomes_.add(record);
    return one;
  }

  std::deque<Heard> heard_;
  Outcomes outcomes_;
};

using Errors = std::vector<int>;

TEST_F(OutcomesTest, EachIsToldOnceInWhicheverOrderTheLanesAreDone) {
  Heard& first = add(false);
  Heard& large = add(true);
  Heard& last = add(false);
  outcomes_.finish_bulk(1, 0);  // and no other large one is under way
  EXPECT_EQ(large.errors, Errors{0});
  EXPECT_TRUE(first.errors.empty());
  outcomes_.finish(1, 0);
  EXPECT_EQ(first.errors, Errors{0});
  outcomes_.finish(1, 7);
  EXPECT_EQ(last.errors, Errors{7});
  EXPECT_EQ(large.errors, Errors{0});
  EXPECT_FALSE(outcomes_.under_way());
  EXPECT_TRUE(outcomes_.all_taken());
}

// A message of as many pieces as there may be, as the first or behind others.
TEST(OutcomesRoom, IsForAllPiecesAtOnce) {
  constexpr uint32_t kPieces = 16;
  for (uint32_t before = 0; before < 70; ++before) {
    Heard heard;
    Outcomes outcomes;
    outcomes.prepare(true);
    const auto add = [&](uint32_t n) {
      ASSERT_TRUE(outcomes.make_room(n));
      for (; n > 0; --n)
        outcomes.add({.buf = nullptr, .len = 0, .completion = &heard, .silent = true});
    };
    for (uint32_t n = 0; n < before; ++n) add(1);
    add(kPieces);
    for (uint32_t n = 0; n < before + kPieces; ++n) outcomes.finish(1, static_cast<int>(n));
    std::vector<int> in_order(before + kPieces);
    std::iota(in_order.begin(), in_order.end(), 0);
    EXPECT_EQ(heard.errors, in_order) << before;
  }
}

TEST_F(OutcomesTest, NoMoreAreToldThanThereAre) {
  Heard& plain = add(false);
  outcomes_.finish_bulk(1, 0);  // there is none on that lane
  EXPECT_TRUE(plain.errors.empty());
  outcomes_.finish(1, 0);
  EXPECT_EQ(plain.errors, Errors{0});
}

TEST_F(OutcomesTest, OfBothLanesInAllOrdersComeOnce) {
  for (int order = 0; order < 64; ++order) {
    heard_.clear();
    Outcomes outcomes;
    outcomes.prepare(true);
    std::swap(outcomes, outcomes_);
    for (int i = 0; i < 6; ++i) add(i % 2 == 1);
    int plain = 3;
    int bulk = 3;
    for (int i = 0; i < 6; ++i) {
      const bool take_bulk = plain == 0 || (bulk > 0 && (order >> i & 1) == 1);
      take_bulk ? outcomes_.finish_bulk(1, 0) : outcomes_.finish(1, 0);
      --(take_bulk ? bulk : plain);
    }
    for (const Heard& one : heard_) EXPECT_EQ(one.errors.size(), 1u) << order;
    EXPECT_FALSE(outcomes_.under_way()) << order;
  }
}

}  // namespace
}  // namespace sio::internal
