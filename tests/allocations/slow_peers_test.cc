// SPDX-License-Identifier: BSD-2-Clause
//
// That nothing grows when somebody is slow: a peer that takes no messages, a program that takes no
// events. What can not go on is held back, so the thousandth round finds what the tenth has left.
#include <sys/eventfd.h>

#include <vector>

#include "allocations/measure.h"
#include "conformance/lines.h"

namespace sio::test {
namespace {

constexpr size_t kMessageBytes = 1024;
constexpr uint64_t kRounds = 1000;

// Sends until there is no room, and again, since what was acknowledged meanwhile made some.
uint64_t fill(BothEnds& ends) {
  uint64_t n = 0;
  for (int i = 0; i < 3; ++i) {
    n += ends.send_until_full();
    ends.take_outcomes();
  }
  return n;
}

struct Way {
  Give give;
  Take take;
};

void PrintTo(const Way& way, std::ostream* out) { *out << name_of(way.give) << name_of(way.take); }

class SlowPeer : public AllocationTest, public testing::WithParamInterface<Way> {};

TEST_P(SlowPeer, ThatTakesNothingCostsNothing) {
  BothEnds ends(GetParam().give, GetParam().take, kMessageBytes);
  uint64_t sent = 0;
  expect_no_growth(kRounds, [&] { sent += fill(ends); });
  EXPECT_GT(sent, 10u);
  EXPECT_LE(sent, 2048u) << "it has 64 slots of eight messages, and as many may be on their way";
  uint64_t taken = 0;
  EXPECT_TRUE(eventually([&] {
    taken += ends.take_messages();
    ends.take_outcomes();
    return taken == sent;
  })) << taken
      << " of " << sent;
  EXPECT_EQ(ends.wrong(), 0u);
}

TEST_P(SlowPeer, ThatTakesAllNowAndThenCostsNothing) {
  BothEnds ends(GetParam().give, GetParam().take, kMessageBytes);
  uint64_t sent = 0;
  uint64_t taken = 0;
  expect_no_growth(messages(kRounds, kRounds / 10), [&] {
    sent += fill(ends);
    while (taken != sent) {
      taken += ends.take_messages();
      ends.take_outcomes();
    }
  });
  EXPECT_EQ(ends.wrong(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Each, SlowPeer,
                         testing::Values(Way{Give::kCopied, Take::kDelivered},
                                         Way{Give::kCopied, Take::kReceived},
                                         Way{Give::kLent, Take::kDelivered},
                                         Way{Give::kReleased, Take::kReceived},
                                         Way{Give::kGathered, Take::kDelivered}),
                         [](const auto& info) { return testing::PrintToString(info.param); });

// Messages that are held hold back the sender, in whatever order they are released at last.
TEST_F(AllocationTest, MessagesThatAreHeldLetNothingGrow) {
  BothEnds ends(Give::kCopied, Take::kDelivered, kMessageBytes);
  std::vector<sio::Buffer> held;
  held.reserve(4096);
  expect_no_growth(messages(kRounds, kRounds / 10), [&] {
    fill(ends);
    while (const auto event = ends.far_channel().next()) {
      if (event->kind == EC_RECV) held.push_back(sio::buffer_of(*event));
    }
    for (size_t i = 0; i < held.size(); i += 2) (void)held[i].release();
    held.clear();
  });
}

TEST_F(AllocationTest, LargeMessagesThatNobodyTakesLetNothingGrow) {
  BothEnds ends(Give::kReleased, Take::kReceived, 65536, size_t{4} << 20);
  ends.exchange(100);  // the lane for them has come to be
  uint64_t sent = 0;
  expect_no_growth(kRounds, [&] { sent += fill(ends); });
  EXPECT_GT(sent, 10u);
  EXPECT_LE(sent, 128u) << "of 64 that are announced some are granted";
}

TEST_F(AllocationTest, LargeMessagesThatAreTakenNowAndThenLetNothingGrow) {
  BothEnds ends(Give::kReleased, Take::kReceived, 65536, size_t{4} << 20);
  ends.exchange(100);
  uint64_t sent = 0;
  uint64_t taken = 0;
  expect_no_growth(messages(kRounds, 12), [&] {
    sent += fill(ends);
    while (taken != sent) {
      taken += ends.take_messages();
      ends.take_outcomes();
    }
  });
  EXPECT_EQ(ends.wrong(), 0u);
}

// -------------------------------------------------------------------------- a program that is slow

// Each round each source has something to tell; nobody asks.
TEST_F(AllocationTest, EventsThatNobodyTakesLetNothingGrow) {
  BothEnds ends(Give::kLent, Take::kDelivered, kMessageBytes);
  const sio::Channel& channel = ends.near_channel();
  const Fd ready(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
  channel.add(ready.get(), EPOLLIN);
  channel.add_timer(milliseconds(1), milliseconds(1));
  uint64_t sent = 0;
  uint64_t posted = 0;
  expect_no_growth(kRounds, [&] {
    sent += ends.send_until_full();
    ends.take_messages();
    while (channel.post(posted)) ++posted;
  });
  EXPECT_GT(sent, 0u);
  EXPECT_LE(sent, 2048u) << "outcomes that are owed, and events in the ring";
  EXPECT_LE(posted, 1024u) << "the ring's entries";
  // All of it is still there to be taken, once.
  uint64_t outcomes = 0;
  uint64_t others = 0;
  EXPECT_TRUE(eventually([&] {
    std::array<event_data_t, 64> room;
    for (const event_data_t& event : channel.next(room)) {
      others += event.kind == EC_USER;
      if (event.kind != EC_SENT) continue;
      ends.take_block(event.data.buf);
      ++outcomes;
    }
    ends.take_messages();
    return outcomes == sent;
  })) << outcomes
      << " of " << sent;
  EXPECT_EQ(others, posted);
}

TEST_F(AllocationTest, EventsThatAreTakenNowAndThenLetNothingGrow) {
  BothEnds ends(Give::kLent, Take::kDelivered, kMessageBytes);
  const sio::Channel& channel = ends.near_channel();
  expect_no_growth(messages(kRounds, kRounds / 10), [&] {
    uint64_t sent = ends.send_until_full();
    while (channel.post(0)) {
    }
    std::array<event_data_t, 64> room;
    while (sent != 0) {
      ends.take_messages();
      for (const event_data_t& event : channel.next(room)) {
        if (event.kind != EC_SENT) continue;
        ends.take_block(event.data.buf);
        --sent;
      }
    }
  });
  EXPECT_EQ(ends.lent(), 0u);
}

}  // namespace
}  // namespace sio::test
