// SPDX-License-Identifier: BSD-2-Clause
#include "provider/verbs/quirks.h"

#include <gtest/gtest.h>

namespace sio::internal::provider::verbs {
namespace {

constexpr uint32_t kSoftRoce = 0xffffff;
constexpr uint32_t kMellanox = 0x2c9;

TEST(QuirksTest, SoftRoceOfSomeKernelsResizesNoQueue) {
  for (const char* release : {"5.15.0-91-generic", "5.16.0", "5.19.17", "6.0.0-6-amd64"}) {
    EXPECT_FALSE(can_resize_queues(kSoftRoce, release)) << release;
  }
}

TEST(QuirksTest, SoftRoceOfOthersDoes) {
  for (const char* release : {"5.9.0", "5.10.0-28-amd64", "5.14.0-427.el9.x86_64", "6.1.0-57-amd64",
                              "6.12.9+bpo-amd64", "7.0"}) {
    EXPECT_TRUE(can_resize_queues(kSoftRoce, release)) << release;
  }
}

TEST(QuirksTest, OtherDevicesDoOnAnyKernel) {
  EXPECT_TRUE(can_resize_queues(kMellanox, "5.19.17"));
  EXPECT_TRUE(can_resize_queues(kMellanox, ""));
}

TEST(QuirksTest, KernelThatSaysNothingIsNotTrusted) {
  EXPECT_FALSE(can_resize_queues(kSoftRoce, ""));
  EXPECT_FALSE(can_resize_queues(kSoftRoce, "next"));
}

}  // namespace
}  // namespace sio::internal::provider::verbs
