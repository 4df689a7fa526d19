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

constexpr uint32_t kChunk = 8;
constexpr uint32_t kMostPerConnection = StagingPool::kMostPerConnection;

class StagingTest : public testing::Test {
 protected:
  void join(uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) pool_.join();
  }

  Device device_;
  StagingPool pool_{device_};
};

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

TEST_F(StagingTest, WithoutMemoryEachStillHasOne) {
  constexpr uint32_t kMany = kChunk + 3;
  join(kMany);
  device_.exhausted = true;
  std::vector<uint32_t> held(kMany);
  StagingBuffer* buffer = nullptr;
  while (StagingBuffer* const another = pool_.take(held[0])) buffer = another;
  ASSERT_NE(buffer, nullptr);
  EXPECT_FALSE(pool_.may_take(held[0]));
  for (uint32_t i = 1; i < kMany; ++i) {
    EXPECT_TRUE(pool_.may_take(held[i])) << i;
    EXPECT_NE(pool_.take(held[i]), nullptr) << i;
  }
  EXPECT_EQ(pool_.take(held[1]), nullptr);  // it has one, and all others are taken
  pool_.give_back(buffer, held[0]);
  EXPECT_NE(pool_.take(held[1]), nullptr);
}

// As a large message with copied pieces does.
TEST_F(StagingTest, WhoTakesTwoIsToldWhetherThereAreTwo) {
  join(kChunk);
  device_.exhausted = true;
  std::vector<uint32_t> held(kChunk);
  EXPECT_TRUE(pool_.may_take(held[0], 1));
  EXPECT_FALSE([&] {
    StagingBuffer* const first = pool_.take(held[0]);
    StagingBuffer* const second = pool_.take(held[0]);
    EXPECT_EQ(second, nullptr);
    pool_.put_back(first, held[0]);
    return pool_.may_take(held[0], 2);
  }()) << "for as long as there is no more memory than before";
  EXPECT_TRUE(pool_.may_take(held[0], 1));
  StagingBuffer* const first = pool_.take(held[0]);
  device_.exhausted = false;
  pool_.give_back(first, held[0]);
  EXPECT_TRUE(pool_.may_take(held[0], 2));
}

TEST_F(StagingTest, NobodyComesForWhomThereIsNone) {
  join(kChunk);
  device_.exhausted = true;
  EXPECT_THROW(pool_.join(), std::system_error);
  device_.exhausted = false;
  pool_.join();
  EXPECT_EQ(device_.registered, 2);
}

TEST_F(StagingTest, GrowsAgainOnceThereIsMemory) {
  join(kChunk);
  device_.exhausted = true;
  std::vector<uint32_t> held(kChunk);
  StagingBuffer* last = nullptr;
  for (uint32_t& one : held) last = pool_.take(one);
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(pool_.take(held[0]), nullptr);
  device_.exhausted = false;
  pool_.give_back(last, held[kChunk - 1]);
  EXPECT_NE(pool_.take(held[0]), nullptr);
  EXPECT_EQ(device_.registered, 2);
}

}  // namespace
}  // namespace sio::internal
