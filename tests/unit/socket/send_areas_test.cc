// SPDX-License-Identifier: BSD-2-Clause
#include "socket/send_areas.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "unit/memory/fake_registrar.h"

namespace sio::internal {
namespace {

class SendAreasTest : public testing::Test {
 protected:
  void SetUp() override {
    test::FakeRegistrar::install();
    for (Area*& area : made_) area = Area::create(4096);
    std::sort(made_.begin(), made_.end(), [](Area* a, Area* b) { return a->base() < b->base(); });
  }
  void TearDown() override {
    for (Area* area : made_) EXPECT_EQ(area->destroy(4096), 0);
  }

  std::array<Area*, 3> made_;  // by address
  SendAreas areas_;
};

TEST_F(SendAreasTest, AreNoneAtFirst) {
  int elsewhere = 0;
  EXPECT_EQ(areas_.find(&elsewhere), nullptr);
  EXPECT_EQ(areas_.find(nullptr), nullptr);
  EXPECT_EQ(areas_.find(made_[0]->base()), nullptr);
}

TEST_F(SendAreasTest, AreFoundFromTheirFirstByteToTheirLast) {
  int elsewhere = 0;
  areas_.add(*made_[2]);
  areas_.add(*made_[0]);
  for (Area* area : {made_[0], made_[2]}) {
    EXPECT_EQ(areas_.find(area->base()), area);
    EXPECT_EQ(areas_.find(area->base() + area->size() - 1), area);
  }
  EXPECT_EQ(areas_.find(made_[1]->base()), nullptr);  // between them
  EXPECT_EQ(areas_.find(made_[0]->base() - 1), nullptr);
  EXPECT_EQ(areas_.find(made_[2]->base() + made_[2]->size()), nullptr);
  EXPECT_EQ(areas_.find(&elsewhere), nullptr);
}

TEST_F(SendAreasTest, GoOneAtATime) {
  areas_.add(*made_[0]);
  areas_.add(*made_[1]);
  areas_.add(*made_[0]);
  areas_.remove(*made_[0]);
  EXPECT_EQ(areas_.find(made_[0]->base()), made_[0]);
  areas_.remove(*made_[0]);
  EXPECT_EQ(areas_.find(made_[0]->base()), nullptr);
  EXPECT_EQ(areas_.find(made_[1]->base()), made_[1]);
  areas_.remove(*made_[2]);  // is not there
  areas_.clear();
  EXPECT_EQ(areas_.size(), 0u);
  EXPECT_EQ(areas_.find(made_[1]->base()), nullptr);
}

}  // namespace
}  // namespace sio::internal
