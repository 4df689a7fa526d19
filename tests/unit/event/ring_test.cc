// SPDX-License-Identifier: BSD-2-Clause
#include "event/ring.h"

#include <gtest/gtest.h>

#include "event/event_source.h"

namespace sio::internal {
namespace {

struct Source final : EventSource {
  bool emit(EventRing&) noexcept override { return true; }
  void taken(const EventNote&) noexcept override {}
};

class Ring : public testing::Test {
 protected:
  static constexpr size_t kEntries = 4;

  void fill(Source& source) {
    while (!ring_.full()) ring_.push({&source, EC_RECV, 0, 0}) = {};
  }
  void drop(Source& source) {
    ring_.drop(&source, [](const EventNote&) { return true; });
  }

  EventRing ring_{nullptr, kEntries};
  Source one_;
  Source other_;
};

TEST_F(Ring, HasRoomAgainWhenAllWasDropped) {
  fill(one_);
  drop(one_);
  EXPECT_TRUE(ring_.empty());
  EXPECT_FALSE(ring_.full());
}

TEST_F(Ring, KeepsWhatLiesBehindOrBeforeWhatWasDropped) {
  for (const bool first : {true, false}) {
    ring_.push({first ? &one_ : &other_, EC_RECV, 7, 0}) = {};
    ring_.push({first ? &other_ : &one_, EC_RECV, 7, 0}) = {};
    drop(one_);
    event_data_t event;
    const EventNote* const note = ring_.pop(event);
    ASSERT_NE(note, nullptr);
    EXPECT_EQ(note->source, &other_);
    EXPECT_EQ(ring_.pop(event), nullptr);
    EXPECT_TRUE(ring_.empty());
  }
}

}  // namespace
}  // namespace sio::internal
