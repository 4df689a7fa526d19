// SPDX-License-Identifier: BSD-2-Clause
//
// That nothing is allocated for a message, whichever way it goes: after a while in which buffers,
// lists and records have grown as large as they get, nothing is, and so nothing at all is allowed.
#include <sys/mman.h>

#include <cstdlib>
#include <memory>
#include <thread>

#include "allocations/measure.h"

namespace sio::test {
namespace {

using std::chrono_literals::operator""s;

// ------------------------------------------------------------------------------- the count itself

TEST_F(AllocationTest, EveryWayToAskForMemoryIsCounted) {
  const auto counted = [](auto&& ask) {
    const uint64_t before = allocations();
    ask();
    return allocations() - before;
  };
  // By way of volatile: or the compiler would leave out what it sees through.
  const auto drop = [](void* memory) {
    void* volatile seen = memory;
    std::free(seen);
  };
  EXPECT_EQ(counted([&] { drop(std::malloc(100)); }), 1u);
  EXPECT_EQ(counted([&] { drop(std::calloc(10, 10)); }), 1u);
  EXPECT_EQ(counted([&] { drop(std::realloc(nullptr, 100)); }), 1u);
  EXPECT_EQ(counted([&] { drop(std::aligned_alloc(64, 128)); }), 1u);
  EXPECT_EQ(counted([&] { drop(::operator new(100)); }), 1u);
  EXPECT_EQ(counted([&] {
              void* made = nullptr;
              EXPECT_EQ(posix_memalign(&made, 64, 100), 0);
              drop(made);
            }),
            1u);
  EXPECT_EQ(counted([&] {
              void* const made = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              EXPECT_NE(made, MAP_FAILED);
              munmap(made, 4096);
            }),
            1u);
  EXPECT_GE(counted([] { EXPECT_NE(sbrk(0), reinterpret_cast<void*>(-1)); }), 1u);
}

// In libibverbs, libstdc++ and the like too; a set-up allocates.
TEST_F(AllocationTest, WhatTheLibraryAllocatesIsCounted) {
  const uint64_t before = allocations();
  { const sio::Channel channel(0u); }
  EXPECT_GT(allocations(), before);
}

// -------------------------------------------------------------------------- messages, many at once

struct Kind {
  Give give;
  Take take;
  uint64_t soft;  // messages
  uint64_t rxe;   // the same on a device, which may be an emulated one
};

void PrintTo(const Kind& kind, std::ostream* out) {
  *out << name_of(kind.give) << name_of(kind.take);
}

class MessageAllocations : public AllocationTest, public testing::WithParamInterface<Kind> {};

TEST_P(MessageAllocations, AreNone) {
  const Kind& kind = GetParam();
  BothEnds ends(kind.give, kind.take, 64);
  const uint64_t n = messages(kind.soft, kind.rxe);
  expect_none(n, [&](uint64_t some) { ends.exchange(some); });
  EXPECT_EQ(ends.wrong(), 0u);
  EXPECT_GE(ends.far().info().messages_received, n);
}

constexpr uint64_t kMillion = 1'000'000;

INSTANTIATE_TEST_SUITE_P(Each, MessageAllocations,
                         testing::Values(Kind{Give::kCopied, Take::kDelivered, kMillion, kMillion},
                                         Kind{Give::kCopied, Take::kReceived, kMillion, 300'000},
                                         Kind{Give::kLent, Take::kDelivered, kMillion, 100'000},
                                         Kind{Give::kLent, Take::kReceived, kMillion, 100'000},
                                         Kind{Give::kReleased, Take::kDelivered, kMillion, 100'000},
                                         Kind{Give::kReleased, Take::kReceived, kMillion, 100'000},
                                         Kind{Give::kGathered, Take::kDelivered, kMillion, 100'000},
                                         Kind{Give::kGathered, Take::kReceived, kMillion, 100'000},
                                         Kind{Give::kMore, Take::kDelivered, kMillion, 300'000},
                                         Kind{Give::kMore, Take::kReceived, kMillion, 100'000}),
                         [](const auto& info) { return testing::PrintToString(info.param); });

// --------------------------------------------------------------------------------- larger messages

class LargeMessageAllocations : public MessageAllocations {};

TEST_P(LargeMessageAllocations, AreNone) {
  const Kind& kind = GetParam();
  BothEnds ends(kind.give, kind.take, 65536, size_t{4} << 20);
  const uint64_t n = messages(kind.soft, kind.rxe);
  expect_none(n, [&](uint64_t some) { ends.exchange(some); });
  EXPECT_EQ(ends.wrong(), 0u);
  EXPECT_GE(ends.far().info().bulk_received, n);
}

INSTANTIATE_TEST_SUITE_P(Each, LargeMessageAllocations,
                         testing::Values(Kind{Give::kLent, Take::kDelivered, 20'000, 1000},
                                         Kind{Give::kLent, Take::kReceived, 20'000, 1000},
                                         Kind{Give::kReleased, Take::kDelivered, 20'000, 1000},
                                         Kind{Give::kReleased, Take::kReceived, 20'000, 1000}),
                         [](const auto& info) { return testing::PrintToString(info.param); });

// Of a slot's size: each a SEND of its own.
TEST_F(AllocationTest, MessagesThatFillASlotAllocateNothing) {
  BothEnds ends(Give::kReleased, Take::kDelivered, 8192);
  expect_none(messages(100'000, 2000), [&](uint64_t some) { ends.exchange(some); });
  EXPECT_EQ(ends.wrong(), 0u);
}

// ------------------------------------------------------------------------------------ one by one

// There and back, each end in a thread of its own, which sleeps until the message comes.
TEST_F(AllocationTest, SleepersAllocateNothing) {
  BothEnds ends(Give::kCopied, Take::kDelivered, 64);
  const auto await = [](const sio::Channel& channel) {
    for (;;) {
      while (const auto event = channel.next()) {
        if (event->kind == EC_RECV) return buffer_of(*event).size() == 64;
      }
      if (!channel.wait(kSoon)) return false;
    }
  };
  std::array<char, 64> text{};
  const std::string_view message(text.data(), text.size());
  std::atomic<bool> lost{false};
  std::atomic<bool> over{false};
  std::thread echo([&] {
    while (!over) {
      lost = lost || !await(ends.far_channel());
      if (!ends.far().send(message)) lost = true;
      if (lost) return;
    }
  });
  const auto round = [&] {
    lost = lost || !ends.near().send(message) || !await(ends.near_channel());
  };
  expect_none(messages(20'000, 300), [&](uint64_t some) {
    for (uint64_t i = 0; i < some && !lost; ++i) round();
  });
  over = true;
  EXPECT_TRUE(ends.near().send(message));  // in case that it has not seen that
  echo.join();
  EXPECT_FALSE(lost);
}

// Sockets in no channel, and calls that block.
TEST_F(AllocationTest, BlockingCallsAllocateNothing) {
  Pair pair = make_pair();
  const uint64_t n = messages(100'000, 20'000);
  const std::array<char, 64> text{};
  std::atomic<uint64_t> taken{0};
  std::thread reader([&] {
    void* data = nullptr;
    while (sio_recv(pair.far.get(), &data, SIZE_MAX, 0) > 0) {
      sio_release(nullptr, data, text.size());
      ++taken;
    }
  });
  uint64_t sent = 0;
  // All the buffers for what is copied have been in use, once.
  const auto fill = [&] {
    for (int i = 0; i < 2000; ++i) {
      const int error = pair.near.try_send(text.data(), text.size(), MSG_DONTWAIT);
      sent += error == 0 ? 1 : 0;
    }
    pair.near.flush();
  };
  for (int i = 0; i < 20; ++i) fill();
  expect_none(n, [&](uint64_t some) {
    for (uint64_t i = 0; i < some; ++i) {
      sent += sio_send(pair.near.get(), text.data(), text.size(), 0) == 0 ? 1 : 0;
      if (i % 1000 == 0) pair.near.flush();
    }
    pair.near.flush();
  });
  EXPECT_EQ(sio_shutdown(pair.near.get(), SHUT_WR), 0);
  reader.join();
  EXPECT_EQ(taken, sent);
}

}  // namespace
}  // namespace sio::test
