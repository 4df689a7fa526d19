// SPDX-License-Identifier: BSD-2-Clause
//
// For which of its SENDs a sender asks for a completion, which nobody sees but the provider.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "conformance/fixtures.h"
#include "faults/fault_plan.h"

namespace sio::test {
namespace {

constexpr auto kFarApart = std::chrono::milliseconds(3);
constexpr uint64_t kMessages = 48;  // fewer than the peer has slots: it need say nothing
constexpr uint64_t kWindow = 4;

class SignalsTest : public testing::Test {
 protected:
  // Sends that many, and returns for how many work requests a completion was asked.
  uint64_t send(uint64_t messages, std::chrono::milliseconds apart) {
    const uint64_t before = plan().signalled;
    for (uint64_t i = 0; i < messages; ++i) {
      std::this_thread::sleep_for(apart);
      must(sio_send(pair_.near.get(), "x", 1, 0), "sio_send");
    }
    return plan().signalled - before;
  }
  uint64_t posted() const { return pair_.near.info().sends_posted; }

  Pair pair_ = make_pair();
};

// Of the first three, since it may be a burst that begins; then only that the queue is emptied.
TEST_F(SignalsTest, OfMessagesFarApartAreFew) {
  EXPECT_LE(send(kMessages, kFarApart), kMessages / 12 + 2);
  EXPECT_EQ(posted(), kMessages);
}

TEST_F(SignalsTest, OpenTheWindowOfABurst) {
  EXPECT_GE(send(kWindow, {}), 1);
  must(sio_flush(pair_.near.get(), nullptr), "sio_flush");
}

// After a pause, too: one late message is not many.
TEST_F(SignalsTest, AreNotSavedWhereMessagesShouldGather) {
  for (uint64_t burst = 1; burst <= 3; ++burst) {
    std::this_thread::sleep_for(kFarApart);
    send(kMessages / 3, {});
    must(sio_flush(pair_.near.get(), nullptr), "sio_flush");
    EXPECT_LE(posted(), burst * (kWindow + 2)) << "after " << burst;
  }
}

}  // namespace
}  // namespace sio::test
