// SPDX-License-Identifier: BSD-2-Clause
#include "allocations/measure.h"

#include <sys/prctl.h>

#include <cstdio>

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

void AllocationTest::expect_none(uint64_t n, const std::function<void(uint64_t)>& some) {
  some(std::max<uint64_t>(n / 10, std::min<uint64_t>(n, 500)));
  note_callers();
  const uint64_t before = allocations();
  const auto start = Clock::now();
  some(n);
  const milliseconds took = since(start);
  const uint64_t made = allocations() - before;
  const std::string callers = noted_callers();
  std::printf("  %llu in %lld ms: %llu allocations\n", static_cast<unsigned long long>(n),
              static_cast<long long>(took.count()), static_cast<unsigned long long>(made));
  EXPECT_EQ(made, 0u) << "for " << n << " messages or rounds\n" << callers;
}

void AllocationTest::expect_no_growth(uint64_t rounds, const std::function<void()>& round) {
  constexpr uint64_t kWarm = 10;
  // Stacks, and what was asked for before and is touched only now: no byte for each round.
  constexpr size_t kTouched = size_t{256} << 10;
  for (uint64_t i = 0; i < kWarm; ++i) round();
  const size_t resident_before = resident_bytes();
  note_callers();
  const uint64_t before = allocations();
  for (uint64_t i = kWarm; i < rounds; ++i) round();
  const uint64_t made = allocations() - before;
  const std::string callers = noted_callers();
  const size_t resident = resident_bytes();
  std::printf("  from round %llu to %llu: %llu allocations, %zu bytes resident, then %zu\n",
              static_cast<unsigned long long>(kWarm), static_cast<unsigned long long>(rounds),
              static_cast<unsigned long long>(made), resident_before, resident);
  EXPECT_EQ(made, 0u) << callers;
  EXPECT_LE(resident, resident_before + kTouched);
}

}  // namespace sio::test
