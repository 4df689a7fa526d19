// SPDX-License-Identifier: BSD-2-Clause
//
// Areas under many threads, well-behaved ones and strangers; most of all for the thread
// sanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "random.h"
#include "region_fixture.h"
#include "threads.h"

namespace sio::internal {
namespace {

using test::Buffer;
using test::in_threads;
using test::Mailbox;
using test::Random;
using test::Stranger;

class AreaThreads : public test::AreaFixture {};

TEST_F(AreaThreads, ReserveForwardAndReleaseAcrossThreads) {
  constexpr int kWorkers = 3;
  constexpr int kRounds = 4000;
  Mailbox<Buffer> mailbox;
  std::atomic<int> working{kWorkers};
  in_threads(kWorkers + 1, [&](int id) {
    if (id == kWorkers) {
      Stranger stranger(area, kSize, 99);
      while (working > 0) {
        stat();
        stranger.misbehave();
        std::this_thread::yield();
      }
      return;
    }
    Random random(static_cast<unsigned>(id));
    for (int round = 0; round < kRounds; ++round) {
      void* p;
      const size_t n = 8 + random.below(size_t{1} << random.below(15));
      if (area->reserve(&p, n) == 0) {
        std::memset(p, static_cast<int>(n), n);
        mailbox.put({static_cast<char*>(p), n});
      }
      Buffer b;
      if (!mailbox.take(b)) continue;
      const size_t at = random.below(b.n);
      EXPECT_EQ(b.p[at], static_cast<char>(b.n));
      const Flight flight = begin(b.p + at, b.n - at);
      EXPECT_EQ(area->release(b.p, b.n), -EINVAL);
      const bool with_flight = random.one_in(2);
      Area::end_flight(flight, with_flight);
      if (!with_flight) {
        EXPECT_EQ(area->release(b.p, b.n), 0);
      }
    }
    --working;
  });
  Buffer b;
  while (mailbox.take(b)) EXPECT_EQ(area->release(b.p, b.n), 0);
}

TEST_F(AreaThreads, OfTwoReleasesOneSucceeds) {
  constexpr int kRounds = 3000;
  std::vector<char*> blocks;
  for (int i = 0; i < kRounds; ++i) blocks.push_back(reserve(64));
  std::atomic<int> successes{0};
  in_threads(2, [&](int) {
    for (char* p : blocks) {
      const int result = area->release(p, 64);
      EXPECT_TRUE(result == 0 || result == -EINVAL);
      if (result == 0) ++successes;
    }
  });
  EXPECT_EQ(successes, kRounds);
}

TEST_F(AreaThreads, TheLastOfManyFlightsReleases) {
  constexpr int kThreads = 4;
  for (int round = 0; round < 300; ++round) {
    char* p = reserve(100);
    Flight flights[kThreads];
    for (Flight& flight : flights) flight = begin(p, 100);
    in_threads(kThreads, [&](int id) { Area::end_flight(flights[id], id == 0); });
    EXPECT_EQ(stat().free, kSize);
  }
}

// A stranger that is looking at a slot while its owner releases it gives it back in the owner's
// stead, once it has looked: until then the area is busy.
int destroy_despite_strangers(Area& area, size_t size) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  int result;
  do {
    result = area.destroy(size);
  } while (result == -EBUSY && std::chrono::steady_clock::now() < deadline);
  return result;
}

TEST(AreaThreadsLife, StrangersAreRefusedWhileAreasComeAndGo) {
  test::FakeRegistrar::install();
  Area* object = Area::create(size_t{1} << 16);
  const dma_mem_t old = object->handle();
  Stranger stranger(object, size_t{1} << 16, 5);
  ASSERT_EQ(object->destroy(size_t{1} << 16), 0);
  std::atomic<bool> done{false};
  std::thread thread([&] {
    while (!done) {
      stranger.misbehave();
      EXPECT_EQ(Area::from_handle(old), nullptr);
      EXPECT_EQ(Area::destroy(old, 65536), -EINVAL);
      struct dma_stat s;
      object->stat(s);
      EXPECT_EQ(s.free + s.reserved + s.received + s.posted + s.in_flight, s.size);
    }
  });
  Random random(6);
  for (int round = 0; round < 400; ++round) {
    const size_t size = size_t{4096} << random.below(6);
    Area* area = Area::create(size);
    Region* region = Region::create(*area, 1024, 256, 4);
    void* p;
    EXPECT_EQ(area->reserve(&p, 500), 0);
    region->arrived(0, true);
    region->hand_out(0, 8, 10);
    char* message = region->slot(0) + 8;
    region->detach();
    EXPECT_EQ(area->release(message, 10), 0);
    EXPECT_EQ(area->release(p, 500), 0);
    EXPECT_EQ(destroy_despite_strangers(*area, size), 0);
  }
  done = true;
  thread.join();
  EXPECT_EQ(test::FakeRegistrar::registered, test::FakeRegistrar::deregistered);
}

}  // namespace
}  // namespace sio::internal
