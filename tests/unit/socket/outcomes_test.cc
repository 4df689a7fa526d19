// SPDX-License-Identifier: BSD-2-Clause
#include "socket/outcomes.h"

#include <gtest/gtest.h>

#include <deque>
#include <vector>

namespace sio::internal {
namespace {

// Messages of which nothing is lent, and of whose outcomes we hear.
class OutcomesTest : public testing::Test {
 protected:
  struct Heard : Completion {
    std::vector<int> errors;
    void sent(int error) noexcept override { errors.push_back(error); }
    size_t most() const noexcept override { return 0; }
    void received(const Socket&, void*, int) noexcept override {}
  };

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
