// SPDX-License-Identifier: BSD-2-Clause
//
// An area asks the region of which it released a message last. That one may have gone since, and
// what it had, its memory and the records of its slots, may be two other regions' by now.
#include <atomic>
#include <thread>

#include "base/clock.h"
#include "fake_registrar.h"
#include "memory/region.h"

namespace sio::internal {
namespace {

constexpr uint32_t kSlot = 1024;
constexpr uint32_t kSlots = 8;
constexpr uint32_t kLength = 100;
constexpr unsigned kRounds =
    200'000;  // or two seconds: what this is about mostly showed within 50,000
constexpr unsigned kSpin = 20'000;  // looks; both must be at it at once

class RegionRecentTest : public test::AreaFixture {
 protected:
  static Region* make(Area* in, uint32_t slots = kSlots) {
    return Region::create(*in, size_t{slots} * kSlot, kSlot, slots);
  }
  static char* deliver(Region* region) {
    region->deliver(0, kLength);
    return region->slot(0);
  }
  static void pass_one(Region* region) {
    EXPECT_EQ(region->area().release(deliver(region), kLength), 0);
  }
};

// Regions are taken, and records too, in the opposite order of their going.
TEST_F(RegionRecentTest, TheSameMemoryAndRecordsOfAnotherRegion) {
  Region* const recent = make(area);
  Region* const next = make(area, 2 * kSlots);
  pass_one(recent);
  recent->detach();
  next->detach();
  Region* const now = make(area);
  ASSERT_EQ(now, next);
  char* const p = deliver(now);
  EXPECT_EQ(area->release(p, kLength), 0);
  EXPECT_EQ(area->release(p, kLength), -EINVAL);
  EXPECT_EQ(now->returned(), 1u);
  now->detach();
}

// Two threads, each of which releases a message of its own.
TEST_F(RegionRecentTest, MemoryOfOneAndRecordsOfAnother) {
  Area* const other = Area::create(kSize);
  std::atomic<unsigned> turn{0}, done{0};
  std::atomic<bool> over{false};
  char* theirs = nullptr;
  int released = 0;
  std::thread thread([&] {
    for (unsigned round = 1;; ++round) {
      for (unsigned looks = 0; turn.load(std::memory_order_acquire) != round; ++looks) {
        if (over) return;
        if (looks > kSpin) std::this_thread::yield();  // so the other one has the processor
      }
      for (std::atomic<unsigned> i{0}; i < round % 60; ++i) continue;
      released = other->release(theirs, kLength);
      done.store(round, std::memory_order_release);
    }
  });
  const TimePoint end = Clock::now() + std::chrono::seconds(2);
  for (unsigned round = 1; round <= kRounds && !HasFailure() && !is_over(end); ++round) {
    Region* const recent = make(area);
    Region* const second = make(other);
    Region* const third = make(other, 2 * kSlots);
    pass_one(second);
    pass_one(recent);
    recent->detach();
    second->detach();
    third->detach();
    Region* const here = make(area);    // the third, with the records of the second
    Region* const there = make(other);  // the second, with those of the recent one
    char* const ours = deliver(here);
    theirs = deliver(there);
    turn.store(round, std::memory_order_release);
    for (std::atomic<unsigned> i{0}; i < 10; ++i) continue;
    EXPECT_EQ(area->release(ours, kLength), 0);
    while (done.load(std::memory_order_acquire) != round) std::this_thread::yield();
    EXPECT_EQ(released, 0) << "in round " << round;
    here->detach();
    there->detach();
  }
  over = true;
  thread.join();
  if (HasFailure()) return;
  EXPECT_EQ(other->destroy(kSize), 0);
}

}  // namespace
}  // namespace sio::internal
