// SPDX-License-Identifier: BSD-2-Clause
//
// For which of its SENDs a sender asks for a completion, which nobody sees but the provider.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "conformance/fixtures.h"
#include "faults/fault_plan.h"

namespace sio::test {
namespace {

constexpr auto kFarApart = std::chrono::milliseconds(3);
constexpr uint64_t kMessages = 48;
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
  // SENDs of messages.
  uint64_t posted() const { return pair_.near.info().sends_posted; }

  Pair pair_ = make_pair();
};

// Of the first three, since it may be a burst that begins; then only that the queue is emptied, of
// one in twelve. (And a keepalive's.)
TEST_F(SignalsTest, OfMessagesFarApartAreFew) {
  EXPECT_LE(send(kMessages, kFarApart), kMessages / 6);
  EXPECT_EQ(posted(), kMessages);
}

TEST_F(SignalsTest, OpenTheWindowOfTheNextBurst) {
  for (int burst = 0; burst < 3; ++burst) {
    const uint64_t before = posted();
    send(kWindow, {});
    EXPECT_EQ(posted(), before + kWindow);
    must(sio_flush(pair_.near.get(), nullptr), "sio_flush");
  }
}

// One late message is not many: it is a window's, and the rest goes in one. On a machine that is
// busy with other things not each burst is one; of those that are none has more.
TEST_F(SignalsTest, AreNotSavedWhereMessagesShouldGather) {
  uint64_t least = UINT64_MAX;
  for (int burst = 0; burst < 100 && least > kWindow + 1; ++burst) {
    std::this_thread::sleep_for(kFarApart);
    const uint64_t before = posted();
    send(kMessages / 3, {});
    must(sio_flush(pair_.near.get(), nullptr), "sio_flush");
    least = std::min(least, posted() - before);
  }
  EXPECT_EQ(least, kWindow + 1);
}

}  // namespace
}  // namespace sio::test
