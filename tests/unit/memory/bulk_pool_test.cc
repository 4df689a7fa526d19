// SPDX-License-Identifier: BSD-2-Clause
#include "memory/bulk_pool.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <system_error>
#include <vector>

#include "fake_registrar.h"
#include "random.h"

namespace sio::internal::test {
namespace {

constexpr size_t kPool = 64 * kLine;

class BulkPools : public AreaFixture {
 protected:
  void SetUp() override {
    AreaFixture::SetUp();
    pool.emplace(*area, kPool);
  }
  void TearDown() override {
    pool.reset();
    AreaFixture::TearDown();
  }

  // A message of n bytes that the program has been given; null: there is no memory for it.
  char* message(size_t n) {
    char* data = nullptr;
    const uint32_t block = pool->take(n, data);
    if (block != 0) pool->hand_out(block);
    return data;
  }
  // Whether there is memory for such a message.
  bool takes(size_t n) {
    char* data = nullptr;
    const uint32_t block = pool->take(n, data);
    if (block != 0) pool->give_back(block);
    return block != 0;
  }

  std::optional<BulkPool> pool;
};

TEST_F(BulkPools, IsTakenFromTheArea) {
  EXPECT_EQ(stat().posted, kPool);
  EXPECT_EQ(stat().free, area->size() - kPool);
  void* p;
  EXPECT_EQ(area->reserve(&p, area->size() - kPool + 1), -ENOBUFS);
  ASSERT_EQ(area->reserve(&p, area->size() - kPool), 0);
  EXPECT_TRUE(takes(kPool)) << "the two do not starve each other";
  EXPECT_EQ(area->release(p, area->size() - kPool), 0);
}

TEST_F(BulkPools, HasNoMoreThanTheAreaHas) {
  EXPECT_THROW(BulkPool(*area, area->size()), std::system_error);
  EXPECT_EQ(stat().posted, kPool);
}

TEST_F(BulkPools, AMessageIsReleasedWithItsOwnLength) {
  char* const data = message(100);
  ASSERT_NE(data, nullptr);
  EXPECT_EQ(stat().received, 2 * kLine);
  EXPECT_EQ(area->release(data, 99), -EINVAL);
  EXPECT_EQ(area->release(data + 1, 99), -EINVAL);
  EXPECT_EQ(area->release(data, 100), 0);
  EXPECT_EQ(area->release(data, 100), -EINVAL);
  EXPECT_EQ(stat().posted, kPool);
}

TEST_F(BulkPools, WhatIsPostedIsNotThePrograms) {
  char* data = nullptr;
  const uint32_t block = pool->take(100, data);
  ASSERT_NE(block, 0u);
  EXPECT_EQ(stat().posted, kPool);
  EXPECT_EQ(area->release(data, 100), -EINVAL);
  Flight flight;
  EXPECT_EQ(area->begin_flight(data, 100, flight, false), -EFAULT);
  pool->give_back(block);
  EXPECT_TRUE(takes(kPool));
}

TEST_F(BulkPools, AMessageCanBeSentOn) {
  char* const data = message(100);
  Flight flight;
  ASSERT_EQ(area->begin_flight(data, 100, flight, true), 0);
  EXPECT_EQ(area->release(data, 100), -EINVAL);
  EXPECT_EQ(stat().in_flight, 2 * kLine);
  Area::end_flight(flight, true);
  EXPECT_EQ(stat().posted, kPool);
}

TEST_F(BulkPools, WhatTheProgramNeverSawComesBack) {
  char* data = nullptr;
  const uint32_t block = pool->take(100, data);
  pool->hand_out(block);
  pool->take_back(block);
  EXPECT_EQ(stat().posted, kPool);
  EXPECT_EQ(area->release(data, 100), -EINVAL);
}

TEST_F(BulkPools, WhatWasSentByAGuessComesBackAfterwards) {
  char* data = nullptr;
  const uint32_t block = pool->take(100, data);
  pool->hand_out(block);
  Flight flight;
  ASSERT_EQ(area->begin_flight(data, 100, flight, false), 0);
  pool->take_back(block);
  EXPECT_EQ(stat().in_flight, 2 * kLine);
  Area::end_flight(flight, false);
  EXPECT_EQ(stat().posted, kPool);
}

TEST_F(BulkPools, TellsOnceWhenMemoryComesBack) {
  int told = 0;
  pool->set_on_freed([](void* n) { ++*static_cast<int*>(n); }, &told);
  char* const half = message(kPool / 2);
  char* const rest = message(kPool / 2);
  EXPECT_EQ(area->release(half, kPool / 2), 0);
  EXPECT_EQ(told, 0) << "nobody has asked in vain";
  EXPECT_EQ(message(kPool), nullptr);
  EXPECT_EQ(area->release(rest, kPool / 2), 0);
  EXPECT_EQ(told, 1);
  char* const all = message(kPool);
  ASSERT_NE(all, nullptr);
  EXPECT_EQ(area->release(all, kPool), 0);
  EXPECT_EQ(told, 1);
}

TEST_F(BulkPools, MessagesOutliveThePool) {
  char* const one = message(100);
  char* const other = message(200);
  pool.reset();
  EXPECT_EQ(stat().received, 6 * kLine);
  EXPECT_EQ(stat().posted, 0u);
  EXPECT_EQ(area->destroy(area->size()), -EBUSY);
  EXPECT_EQ(area->release(one, 100), 0);
  EXPECT_EQ(area->release(other, 200), 0);
  EXPECT_EQ(stat().largest_free, area->size()) << "all free memory is one piece again";
}

TEST_F(BulkPools, TwoNeighboursDoNotMix) {
  std::optional<BulkPool> neighbour(std::in_place, *area, kPool);
  char* const all = message(kPool);
  EXPECT_FALSE(takes(1));
  char* data = nullptr;
  const uint32_t block = neighbour->take(kPool, data);
  EXPECT_NE(block, 0u);
  neighbour->give_back(block);
  neighbour.reset();
  EXPECT_FALSE(takes(1));
  EXPECT_EQ(area->release(all, kPool), 0);
}

// Whatever is taken and given back, in whatever order: in the end all of it is one piece.
TEST_F(BulkPools, AnyOrderEndsInOnePiece) {
  Random random(7);
  struct Held {
    char* data;
    size_t size;
  };
  std::vector<Held> held;
  for (int i = 0; i < 20'000; ++i) {
    const size_t n = 1 + random.below(kPool / 3);
    if (char* const data = random.below(2) == 0 ? message(n) : nullptr) {
      held.push_back({data, n});
    } else if (!held.empty()) {
      const size_t which = random.below(static_cast<uint32_t>(held.size()));
      ASSERT_EQ(area->release(held[which].data, held[which].size), 0);
      held[which] = held.back();
      held.pop_back();
    }
  }
  for (const Held& one : held) ASSERT_EQ(area->release(one.data, one.size), 0);
  EXPECT_TRUE(takes(kPool));
}

}  // namespace
}  // namespace sio::internal::test
