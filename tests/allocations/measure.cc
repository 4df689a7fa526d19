// SPDX-License-Identifier: BSD-2-Clause
#include "allocations/measure.h"

#include <sys/prctl.h>

#include <cstdio>

#include "conformance/counters.h"

namespace sio::test {

void AllocationTest::SetUp() {
  if (!SIO_COUNTS_ALLOCATIONS) {
    GTEST_SKIP() << "allocations are the sanitizer's here: they are counted in builds without one";
  }
  // Else a few pages that were touched may become a huge one meanwhile, which is resident as a
  // whole.
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  if (!have_address()) GTEST_SKIP() << "there is no RDMA device, and the provider is not soft";
}

uint64_t AllocationTest::messages(uint64_t soft, uint64_t rxe) {
  return scaled(on_soft() ? soft : rxe);
}

// What grows with the messages under way is as large as it gets only when as many have been under
// way at once as can be, and when that is, is the device's affair (Linux 6.12 has more of them than
// 6.1). So it goes on until nothing was asked for several times in a row, and for a while, since a
// device may only get to what was posted; what never ends to grow is found here.
void AllocationTest::warm_up(const std::function<void()>& some) {
  constexpr int kInARow = 3;
  constexpr milliseconds kLull{100};
  const auto end = Clock::now() + kSoon;
  auto quiet_since = Clock::now();
  for (int quiet = 0; quiet < kInARow || since(quiet_since) < kLull;) {
    ASSERT_LT(Clock::now(), end) << "memory is asked for again and again";
    const uint64_t before = allocations();
    some();
    ++quiet;
    if (allocations() == before) continue;
    quiet = 0;
    quiet_since = Clock::now();
  }
}

// What n of them ask for, and who.
uint64_t AllocationTest::made_by(uint64_t n, const std::function<void(uint64_t)>& some,
                                 std::string& callers) {
  note_callers();
  const uint64_t before = allocations();
  const auto start = Clock::now();
  some(n);
  const milliseconds took = since(start);
  const uint64_t made = allocations() - before;
  callers = noted_callers();
  std::printf("  %llu in %lld ms: %llu allocations\n", static_cast<unsigned long long>(n),
              static_cast<long long>(took.count()), static_cast<unsigned long long>(made));
  return made;
}

// Even after the warm-up a device may have more under way than ever before. What either end asks
// for then (once: StagingPool::grow) stays, so a third try finds nothing; what messages ask for
// themselves is in each.
void AllocationTest::expect_none(uint64_t n, const std::function<void(uint64_t)>& some) {
  constexpr int kTries = 3;
  ASSERT_NO_FATAL_FAILURE(
      warm_up([&] { some(std::max<uint64_t>(n / 10, std::min<uint64_t>(n, 500))); }));
  std::string callers;
  uint64_t made = made_by(n, some, callers);
  for (int tries = 1; made > 0 && tries < kTries; ++tries) made = made_by(n, some, callers);
  EXPECT_EQ(made, 0u) << "for " << n << " messages or rounds\n" << callers;
}

void AllocationTest::expect_no_growth(uint64_t rounds, const std::function<void()>& round) {
  constexpr uint64_t kWarm = 10;
  // Stacks, and what was asked for before and is touched only now: no byte for each round.
  constexpr size_t kTouched = size_t{256} << 10;
  ASSERT_NO_FATAL_FAILURE(warm_up([&] {
    for (uint64_t i = 0; i < kWarm; ++i) round();
  }));
  const size_t resident_before = resident_bytes();
  note_callers();
  const uint64_t before = allocations();
  for (uint64_t i = kWarm; i < rounds; ++i) round();
  const uint64_t made = allocations() - before;
  const std::string callers = noted_callers();
  const size_t resident = resident_bytes();
  std::printf("  %llu rounds: %llu allocations, %zu bytes resident, then %zu\n",
              static_cast<unsigned long long>(rounds - kWarm),
              static_cast<unsigned long long>(made), resident_before, resident);
  EXPECT_EQ(made, 0u) << callers;
  EXPECT_LE(resident, resident_before + kTouched);
}

}  // namespace sio::test
