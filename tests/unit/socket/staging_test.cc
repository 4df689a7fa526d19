// SPDX-License-Identifier: BSD-2-Clause
#include "socket/staging.h"

#include <gtest/gtest.h>

#include <system_error>
#include <vector>

namespace sio::internal {
namespace {

// Registers memory, until there is none, and nothing else.
class Device final : public provider::Device {
 public:
  const std::string& name() const noexcept override { return name_; }
  unsigned index() const noexcept override { return 0; }
  const provider::DeviceLimits& limits() const noexcept override { return limits_; }
  std::unique_ptr<provider::MemoryRegion> register_memory(void*, size_t, bool) override {
    if (exhausted) throw std::system_error(ENOMEM, std::generic_category());
    ++registered;
    return std::make_unique<Memory>();
  }
  std::unique_ptr<provider::CompletionChannel> create_completion_channel() override {
    return nullptr;
  }
  std::unique_ptr<provider::SharedReceiveQueue> create_shared_receive_queue(uint32_t) override {
    return nullptr;
  }

  bool exhausted = false;
  int registered = 0;

 private:
  struct Memory : provider::MemoryRegion {
    uint32_t lkey() const noexcept override { return 0; }
  };

  const std::string name_;
  const provider::DeviceLimits limits_{};
};

constexpr uint32_t kReserve = 8;
constexpr uint32_t kMostPerConnection = 16;

class StagingTest : public testing::Test {
 protected:
  void join(uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) pool_.join();
  }

  Device device_;
  StagingPool pool_{device_};
};

TEST_F(StagingTest, ConnectionsThatSendNothingShareOneReserve) {
  join(1000);
  EXPECT_EQ(device_.registered, 1);
}

TEST_F(StagingTest, EachCanHaveOneWhateverOthersHold) {
  constexpr uint32_t kMany = 100;
  join(kMany);
  std::vector<uint32_t> held(kMany);
  for (uint32_t i = 0; i < kMany / 2; ++i) {
    while (pool_.take(held[i]) != nullptr) {
    }
    EXPECT_EQ(held[i], kMostPerConnection);
    EXPECT_FALSE(pool_.may_take(held[i]));
  }
  for (uint32_t i = kMany / 2; i < kMany; ++i) {
    EXPECT_TRUE(pool_.may_take(held[i]));
    EXPECT_NE(pool_.take(held[i]), nullptr);
  }
}

TEST_F(StagingTest, WithoutMemoryTheReserveIsForThoseThatHaveNone) {
  join(kReserve + 3);
  device_.exhausted = true;
  std::vector<uint32_t> held(kReserve + 1);
  StagingBuffer* const first = pool_.take(held[0]);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(pool_.take(held[0]), nullptr);  // it has one
  for (uint32_t i = 1; i < kReserve; ++i) EXPECT_NE(pool_.take(held[i]), nullptr);
  EXPECT_FALSE(pool_.may_take(held[kReserve]));
  EXPECT_EQ(pool_.take(held[kReserve]), nullptr);
  pool_.give_back(first, held[0]);
  EXPECT_TRUE(pool_.may_take(held[kReserve]));
  EXPECT_NE(pool_.take(held[kReserve]), nullptr);
}

TEST_F(StagingTest, GrowsAgainOnceThereIsMemory) {
  join(kReserve + 1);
  device_.exhausted = true;
  std::vector<uint32_t> held(kReserve + 1);
  StagingBuffer* last = nullptr;
  for (uint32_t i = 0; i < kReserve; ++i) last = pool_.take(held[i]);
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(pool_.take(held[kReserve]), nullptr);
  device_.exhausted = false;
  pool_.give_back(last, held[kReserve - 1]);
  EXPECT_NE(pool_.take(held[kReserve]), nullptr);
  EXPECT_NE(pool_.take(held[kReserve - 1]), nullptr);
  EXPECT_EQ(device_.registered, 2);
}

}  // namespace
}  // namespace sio::internal
