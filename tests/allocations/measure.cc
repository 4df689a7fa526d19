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

// What grows with the messages under way is as large as it gets only when as many have been under
// way at once as can be, and when that is, is the device's affair: so it is measured again until
// nothing is asked for, and all of it together is no more than that growth takes.
void AllocationTest::expect_end_of_growth(const std::function<void()>& pass) {
  constexpr int kMostPasses = 4;
  constexpr uint64_t kGrowth = 34;  // at two ends 10 doublings of the outcomes, 2 chunks of 7 each
  uint64_t made = 1;
  uint64_t all = 0;
  std::string callers;
  for (int i = 0; i < kMostPasses && made > 0; ++i) {
    note_callers();
    const uint64_t before = allocations();
    pass();
    made = allocations() - before;
    callers = noted_callers();
    all += made;
    std::printf("%llu allocations\n", static_cast<unsigned long long>(made));
  }
  EXPECT_EQ(made, 0u) << "still, in the last of " << kMostPasses << " passes\n" << callers;
  EXPECT_LE(all, kGrowth) << callers;
}

void AllocationTest::expect_none(uint64_t n, const std::function<void(uint64_t)>& some) {
  some(std::max<uint64_t>(n / 10, std::min<uint64_t>(n, 500)));
  expect_end_of_growth([&] {
    const auto start = Clock::now();
    some(n);
    std::printf("  %llu in %lld ms: ", static_cast<unsigned long long>(n),
                static_cast<long long>(since(start).count()));
  });
}

void AllocationTest::expect_no_growth(uint64_t rounds, const std::function<void()>& round) {
  constexpr uint64_t kWarm = 10;
  // Stacks, and what was asked for before and is touched only now: no byte for each round.
  constexpr size_t kTouched = size_t{256} << 10;
  for (uint64_t i = 0; i < kWarm; ++i) round();
  size_t resident_before = 0;
  expect_end_of_growth([&] {
    resident_before = resident_bytes();
    for (uint64_t i = kWarm; i < rounds; ++i) round();
    std::printf("  from round %llu to %llu: ", static_cast<unsigned long long>(kWarm),
                static_cast<unsigned long long>(rounds));
  });
  const size_t resident = resident_bytes();
  std::printf("  %zu bytes resident, then %zu\n", resident_before, resident);
  EXPECT_LE(resident, resident_before + kTouched);
}

}  // namespace sio::test
