// SPDX-License-Identifier: BSD-2-Clause
//
// Several queue pairs that take from one receive queue.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "seam/desk.h"

namespace sio::test {
namespace {

using internal::provider::QueueSizes;
using internal::provider::SharedReceiveQueue;
using testing::Each;
using testing::Field;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr QueueSizes kSender{64, 1, 1, 0, nullptr};

QueueSizes sharing(SharedReceiveQueue& queue) { return {16, 0, 1, 0, &queue}; }

class SharedReceives : public testing::Test {
 protected:
  Desk near_{own_device()};
  Desk far_{own_device()};
  std::unique_ptr<SharedReceiveQueue> shared_ = own_device().create_shared_receive_queue(64);
  Connection one_ = connect(near_, kSender, far_, sharing(*shared_));
  Connection other_ = connect(near_, kSender, far_, sharing(*shared_));
};

TEST_F(SharedReceives, ServeAllQueuePairs) {
  for (size_t i = 0; i < 8; ++i) post_shared(*shared_, far_, i);
  for (size_t i = 0; i < 4; ++i) {
    std::snprintf(near_.slot(2 * i), 8, "one%zu", i);
    std::snprintf(near_.slot(2 * i + 1), 8, "other%zu", i);
    one_.near.send(near_, 2 * i, 5);
    other_.near.send(near_, 2 * i + 1, 7);
  }
  const auto received = far_.expect(8);
  EXPECT_THAT(wr_ids(received), UnorderedElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  size_t of_one = 0;
  size_t of_other = 0;
  for (const ibv_wc& wc : received) {
    if (wc.qp_num == one_.far.pair->number()) {
      EXPECT_EQ(std::string(far_.slot(wc.wr_id)), "one" + std::to_string(of_one++));
    } else {
      EXPECT_EQ(std::string(far_.slot(wc.wr_id)), "other" + std::to_string(of_other++));
    }
  }
  EXPECT_EQ(of_one, 4u);
  near_.expect(8);
}

TEST_F(SharedReceives, ThatAreUsedUpHoldUpUntilThereAreMore) {
  one_.near.send(near_, 0, 10);
  other_.near.send(near_, 1, 10);
  EXPECT_THAT(far_.poll_for(milliseconds(50)), IsEmpty());
  ASSERT_EQ(far_.queue().arm(false), 0);
  while (far_.sleep(milliseconds(0))) ASSERT_EQ(far_.queue().arm(false), 0);
  std::thread poster([this] {
    std::this_thread::sleep_for(milliseconds(20));
    post_shared(*shared_, far_, 5);
    post_shared(*shared_, far_, 6);
  });
  EXPECT_TRUE(far_.sleep(kSoon)) << "the sleeper is woken";
  poster.join();
  EXPECT_THAT(wr_ids(far_.expect(2)), UnorderedElementsAre(5, 6));
  EXPECT_THAT(wr_ids(near_.expect(2)), UnorderedElementsAre(0, 1));
}

TEST_F(SharedReceives, AreLeftToTheOthersByAQueuePairThatFails) {
  for (size_t i = 0; i < 3; ++i) post_shared(*shared_, far_, i);
  one_.far.pair->fail();
  EXPECT_THAT(far_.poll_for(milliseconds(20)), IsEmpty());
  one_.far.pair.reset();
  for (size_t i = 0; i < 3; ++i) other_.near.send(near_, i, 10);
  EXPECT_THAT(wr_ids(far_.expect(3)), UnorderedElementsAre(0, 1, 2));
}

TEST_F(SharedReceives, AreRefusedBeyondTheirNumber) {
  size_t posted = 0;
  const auto post_until_full = [&] {
    for (; posted < 10'000; ++posted) post_shared(*shared_, far_, posted % Desk::kSlots);
  };
  EXPECT_THROW(post_until_full(), std::runtime_error);
  EXPECT_GE(posted, 64u);
  EXPECT_GE(posted, shared_->capacity());
}

// Each message says which it is, all along, so that two in one place would show.
struct Stamp {
  static constexpr size_t kBytes = 1024;
  static void write(char* to, uint64_t number) {
    for (size_t i = 0; i < kBytes; i += 8) std::memcpy(to + i, &number, 8);
  }
  static bool holds(const char* from, uint64_t number) {
    for (size_t i = 0; i < kBytes; i += 8) {
      if (std::memcmp(from + i, &number, 8) != 0) return false;
    }
    return true;
  }
};

// One end of a stream of stamps; the receives are shared with another channel's.
void take_stream(Desk& desk, Desk& memory, SharedReceiveQueue& shared, uint64_t first,
                 uint64_t messages, std::atomic<int>& wrong) {
  for (uint64_t i = 0; i < messages; ++i) {
    const ibv_wc wc = desk.expect(1).front();
    if (wc.status != IBV_WC_SUCCESS || !Stamp::holds(memory.slot(wc.wr_id), first + i)) ++wrong;
    post_shared(shared, memory, wc.wr_id);
  }
}

void send_stream(End& end, Desk& desk, uint64_t first, uint64_t messages) {
  constexpr uint64_t kInFlight = 32;
  for (uint64_t i = 0; i < messages; ++i) {
    if (i >= kInFlight) desk.expect(1);
    Stamp::write(desk.slot(i % kInFlight), first + i);
    end.send(desk, i % kInFlight, Stamp::kBytes);
  }
  desk.expect(std::min(messages, kInFlight));
}

TEST(SharedReceivesOfTwoChannels, AreEachUsedByOneMessage) {
  Desk near[2] = {Desk(own_device()), Desk(own_device())};
  Desk far[2] = {Desk(own_device()), Desk(own_device())};
  Desk memory(own_device());
  const auto shared = own_device().create_shared_receive_queue(16);
  Connection links[2] = {connect(near[0], kSender, far[0], sharing(*shared)),
                         connect(near[1], kSender, far[1], sharing(*shared))};
  for (size_t i = 0; i < 16; ++i) post_shared(*shared, memory, i);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  const uint64_t messages = scaled(5000);
  for (uint64_t i = 0; i < 2; ++i) {
    const uint64_t first = i << 32;
    threads.emplace_back([&, i, first] { send_stream(links[i].near, near[i], first, messages); });
    threads.emplace_back(
        [&, i, first] { take_stream(far[i], memory, *shared, first, messages, wrong); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace sio::test
