// SPDX-License-Identifier: BSD-2-Clause
#include "socket/train.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace sio::internal {
namespace {

// What is said of two messages of a length is what becomes of them, at each length.
class TrainTest : public testing::TestWithParam<bool> {
 protected:
  bool takes_two(uint32_t length) {
    train_.begin(&buffer_);
    train_.add_copy(message_.data(), length);
    EXPECT_EQ(train_.may_gather(), train_.gathers(length));
    const bool room = train_.has_room(length, true);
    train_.depart();
    return room;
  }

  std::vector<char> bytes_ = std::vector<char>(kStagingBytes);
  std::vector<char> message_ = std::vector<char>(kTrainBytes);
  StagingBuffer buffer_{bytes_.data(), 0};
  Train train_;
};

TEST_P(TrainTest, GathersTwoThatHaveRoomTogether) {
  for (const uint32_t slot : {256u, 4096u, kTrainBytes, 65536u}) {
    train_.set_limits(slot, kMaxGather, GetParam());
    const uint32_t most = std::min(slot, kTrainBytes);
    EXPECT_TRUE(train_.gathers(1));
    EXPECT_FALSE(train_.gathers(most));
    for (uint32_t length = 1; length <= most; ++length) {
      ASSERT_EQ(train_.gathers(length), takes_two(length)) << length << " in " << slot;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Of, TrainTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Messages" : "Bytes"; });

}  // namespace
}  // namespace sio::internal
