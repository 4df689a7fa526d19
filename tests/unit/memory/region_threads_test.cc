// SPDX-License-Identifier: BSD-2-Clause
//
// Regions under many threads, well-behaved ones and strangers; most of all for the thread
// sanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
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

class RegionThreads : public test::RegionFixture {
 protected:
  static void count(void* arg) { ++*static_cast<std::atomic<int>*>(arg); }
};

// One library thread fills slots and collects them; programs release and forward what it hands out.
TEST_F(RegionThreads, HandOutForwardReleaseAndCollect) {
  constexpr int kPrograms = 3;
  constexpr int kArrivals = 6000;
  Mailbox<Buffer> mailbox;
  std::atomic<bool> over{false};
  std::atomic<int> calls{0};
  region->set_on_returned(count, &calls, 2);
  const auto library = [&] {
    std::vector<uint32_t> posted = {0, 1, 2, 3, 4, 5, 6, 7};
    Random random(1);
    for (int n = 0; n < kArrivals;) {
      for (const uint32_t slot : collect()) posted.push_back(slot);
      if (posted.empty()) {
        std::this_thread::yield();
        continue;
      }
      const uint32_t slot = posted.back();
      posted.pop_back();
      const bool train = random.one_in(2);
      region->arrived(slot, train);
      const uint32_t messages = train ? random.below(6) : 1;
      for (uint32_t i = 0; i < messages; ++i) {
        const uint32_t offset = train ? 8 + i * 40 : 0;
        const uint32_t len = 10 + random.below(20);
        std::memset(region->slot(slot) + offset, static_cast<int>(len), len);
        region->hand_out(slot, offset, len);
        if (random.one_in(50)) {
          region->take_back(slot, offset);
        } else {
          mailbox.put({region->slot(slot) + offset, len});
        }
      }
      region->finish(slot);
      ++n;
    }
    region->detach();
    over = true;
  };
  const auto program = [&](unsigned seed) {
    Random random(seed);
    Stranger stranger(area, kBytes, seed);
    Buffer b;
    while (true) {
      const bool last = over;
      if (!mailbox.take(b)) {
        if (last) break;
        stranger.misbehave();
        std::this_thread::yield();
        continue;
      }
      const size_t at = random.below(b.n);
      EXPECT_EQ(b.p[at], static_cast<char>(b.n));
      if (random.one_in(2)) {
        EXPECT_EQ(area->release(b.p, b.n), 0);
        continue;
      }
      const Flight flight = begin(b.p + at, b.n - at);
      EXPECT_EQ(area->release(b.p, b.n), -EINVAL);
      const bool with_flight = random.one_in(2);
      Area::end_flight(flight, with_flight);
      if (!with_flight) {
        EXPECT_EQ(area->release(b.p, b.n), 0);
      }
    }
  };
  in_threads(kPrograms + 2, [&](int id) {
    if (id == 0) {
      library();
    } else if (id <= kPrograms) {
      program(static_cast<unsigned>(id) + 1);
    } else {
      while (!over) {
        stat();
        std::this_thread::yield();
      }
    }
  });
  EXPECT_GT(calls, 0);
}

// The message whose release ends the region is released by two threads at once.
TEST_F(RegionThreads, OfTwoReleasesThatEndTheRegionOneSucceeds) {
  region->detach();
  constexpr int kRounds = 1000;
  std::atomic<int> successes{0};
  std::atomic<char*> message{nullptr};
  std::barrier turn(3);
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        turn.arrive_and_wait();
        if (area->release(message, 20) == 0) ++successes;
        turn.arrive_and_wait();
      }
    });
  }
  for (int round = 0; round < kRounds; ++round) {
    const bool train = round % 2 == 0;
    Region* r = Region::create(*area, kBytes, kSlot, 1 + static_cast<uint32_t>(round) % kSlots);
    r->arrived(0, train);
    r->hand_out(0, train ? 8 : 0, 20);
    message = r->slot(0) + (train ? 8 : 0);
    r->detach();
    turn.arrive_and_wait();
    turn.arrive_and_wait();
    EXPECT_EQ(stat().free, kSize);
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(successes, kRounds);
}

// Strangers at work on regions that come, go and are reused elsewhere in the area.
TEST_F(RegionThreads, StrangersAreRefusedWhileRegionsComeAndGo) {
  region->detach();
  std::atomic<bool> done{false};
  std::vector<std::thread> strangers;
  for (unsigned seed = 1; seed <= 2; ++seed) {
    strangers.emplace_back([&, seed] {
      Stranger stranger(area, 8192, seed);
      while (!done) stranger.misbehave();
    });
  }
  Random random(3);
  for (int round = 0; round < 1500; ++round) {
    void* spacer;
    const size_t n = 64 + random.below(4000);
    ASSERT_EQ(area->reserve(&spacer, n), 0);
    Region* r = Region::create(*area, 4096, 256, 16);
    ASSERT_EQ(area->release(spacer, n), 0);
    std::vector<char*> messages;
    for (uint32_t slot = 0; slot < 16; ++slot) {
      const bool train = random.one_in(2);
      r->arrived(slot, train);
      r->hand_out(slot, train ? 16 : 0, 9);
      messages.push_back(r->slot(slot) + (train ? 16 : 0));
    }
    r->detach();
    for (char* p : messages) ASSERT_EQ(area->release(p, 9), 0);
  }
  done = true;
  for (std::thread& thread : strangers) thread.join();
}

// What the callback looks at is gone when detach returns.
TEST_F(RegionThreads, NoCallbackRunsOnceDetachHasReturned) {
  region->detach();
  struct Socket {
    std::atomic<bool> alive{true};
    std::atomic<int> calls{0};
    std::atomic<int> late{0};
  };
  constexpr int kRounds = 500;
  std::vector<Socket> sockets(kRounds);
  Mailbox<char*> mailbox;
  std::atomic<bool> done{false};
  std::vector<std::thread> programs;
  for (int i = 0; i < 2; ++i) {
    programs.emplace_back([&] {
      char* p;
      while (true) {
        const bool last = done;
        if (mailbox.take(p)) {
          EXPECT_EQ(area->release(p, 5), 0);
        } else if (last) {
          return;
        }
      }
    });
  }
  const auto on_returned = [](void* arg) {
    auto* s = static_cast<Socket*>(arg);
    ++s->calls;
    for (int i = 0; i < 5; ++i) {
      if (!s->alive) ++s->late;
      std::this_thread::yield();
    }
  };
  for (int round = 0; round < kRounds; ++round) {
    Socket& socket = sockets[static_cast<size_t>(round)];
    // The regions of former rounds live until the programs have come round to releasing.
    while (stat().largest_free < 2 * kBytes) std::this_thread::yield();
    Region* r = Region::create(*area, kBytes, kSlot, kSlots);
    r->set_on_returned(on_returned, &socket, 1);
    for (uint32_t slot = 0; slot < kSlots; ++slot) {
      r->arrived(slot, false);
      r->hand_out(slot, 0, 5);
      r->finish(slot);
      mailbox.put(r->slot(slot));
    }
    if (round % 2 == 0) {
      while (socket.calls == 0) std::this_thread::yield();
    }
    r->detach();
    socket.alive = false;
  }
  done = true;
  for (std::thread& thread : programs) thread.join();
  for (const Socket& socket : sockets) EXPECT_EQ(socket.late, 0);
}

}  // namespace
}  // namespace sio::internal
