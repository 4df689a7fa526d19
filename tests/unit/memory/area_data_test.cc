// SPDX-License-Identifier: BSD-2-Clause
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "fake_registrar.h"
#include "memory/area.h"

namespace sio::internal {
namespace {

class AreaData : public test::AreaFixture {};

TEST_F(AreaData, ANewAreaIsOneFreeBlock) {
  const struct dma_stat s = stat();
  EXPECT_EQ(s.base, area->base());
  EXPECT_EQ(s.size, kSize);
  EXPECT_EQ(s.free, kSize);
  EXPECT_EQ(s.largest_free, kSize);
}

TEST_F(AreaData, BlocksBeginOnCacheLinesAndDoNotOverlap) {
  char* a = reserve(1);
  char* b = reserve(65);
  char* c = reserve(64);
  for (char* p : {a, b, c}) EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % 64, 0u);
  EXPECT_EQ(b - a, 64);
  EXPECT_EQ(c - b, 128);
  EXPECT_EQ(stat().reserved, 64u + 128 + 64);
  EXPECT_EQ(area->release(b, 65), 0);
  EXPECT_EQ(area->release(a, 1), 0);
  EXPECT_EQ(area->release(c, 64), 0);
}

TEST_F(AreaData, ReserveTellsNeverFromNotNow) {
  void* p;
  EXPECT_EQ(area->reserve(&p, 0), -EINVAL);
  EXPECT_EQ(area->reserve(&p, kSize + 1), -EMSGSIZE);
  EXPECT_EQ(area->reserve(&p, SIZE_MAX), -EMSGSIZE);
  char* all = reserve(kSize);
  EXPECT_EQ(area->reserve(&p, 1), -ENOBUFS);
  EXPECT_EQ(area->reserve(&p, kSize), -ENOBUFS);
  EXPECT_EQ(area->release(all, kSize), 0);
}

TEST_F(AreaData, LargestFreeIsExactlyWhatReserveCanGive) {
  std::vector<char*> blocks;
  for (size_t n = 0; n < kSize; n += 4096) blocks.push_back(reserve(4096));
  EXPECT_EQ(stat().largest_free, 0u);
  for (size_t i : {3u, 7u, 8u, 20u, 21u, 22u}) EXPECT_EQ(area->release(blocks[i], 4096), 0);
  EXPECT_EQ(stat().largest_free, 3u * 4096);
  EXPECT_EQ(stat().free, 6u * 4096);
  void* p;
  EXPECT_EQ(area->reserve(&p, 3 * 4096 + 1), -ENOBUFS);
  EXPECT_EQ(area->reserve(&p, 3 * 4096), 0);
  EXPECT_EQ(p, blocks[20]);
  EXPECT_EQ(area->release(p, 3 * 4096), 0);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const bool gone = i == 3 || i == 7 || i == 8 || (i >= 20 && i <= 22);
    if (!gone) {
      EXPECT_EQ(area->release(blocks[i], 4096), 0);
    }
  }
}

TEST_F(AreaData, NothingOfTheAccountsIsInTheAreaItself) {
  char* a = reserve(1000);
  char* b = reserve(1000);
  EXPECT_EQ(area->release(a, 1000), 0);
  std::memset(area->base(), 0xa5, kSize);
  a = reserve(1000);
  EXPECT_EQ(area->release(b, 1000), 0);
  EXPECT_EQ(area->release(a, 1000), 0);
}

TEST_F(AreaData, ReleaseRefusesWhatIsNotExactlyOwned) {
  char* p = reserve(1000);
  char* other = reserve(1000);
  const struct {
    void* p;
    size_t n;
    const char* what;
  } cases[] = {
      {p, 999, "smaller"},
      {p, 1001, "larger"},
      {p, 1024, "in whole lines"},
      {p, 0, "nothing"},
      {p, SIZE_MAX, "everything"},
      {p + 1, 999, "not the start"},
      {p + 64, 936, "a line inside"},
      {p - 64, 1064, "before"},
      {other + 1024, 1000, "free memory"},
      {area->base() + kSize, 1000, "behind the area"},
      {area->base() - 1, 1, "in front of the area"},
      {nullptr, 0, "null"},
      {&p, sizeof p, "elsewhere"},
  };
  for (const auto& c : cases) EXPECT_EQ(area->release(c.p, c.n), -EINVAL) << c.what;
  EXPECT_EQ(area->release(p, 1000), 0);
  EXPECT_EQ(area->release(p, 1000), -EINVAL) << "twice";
  EXPECT_EQ(area->release(other, 1000), 0);
}

TEST_F(AreaData, FlightsTakeAnyPartOfOneBlock) {
  char* p = reserve(1000);
  char* next = reserve(1000);
  for (size_t skip : {0u, 1u, 63u, 64u, 500u, 999u, 1000u}) {
    EXPECT_EQ(try_begin(p + skip, 1000 - skip), 0) << skip;
    EXPECT_EQ(try_begin(p + skip, 1001 - skip), -EFAULT) << skip;
  }
  EXPECT_EQ(try_begin(p, SIZE_MAX), -EFAULT);
  EXPECT_EQ(try_begin(p + 1001, 0), -EFAULT) << "behind the block, in its last line";
  EXPECT_EQ(try_begin(p + 1023, 2), -EFAULT) << "across two blocks";
  EXPECT_EQ(try_begin(next + 1024, 1), -EFAULT) << "free";
  EXPECT_EQ(try_begin(area->base() - 1, 1), -EFAULT);
  EXPECT_EQ(try_begin(area->base() + kSize, 1), -EFAULT);
  EXPECT_EQ(try_begin(nullptr, 0), -EFAULT);
  EXPECT_EQ(area->release(p, 1000), 0);
  EXPECT_EQ(try_begin(p, 1000), -EFAULT) << "released";
  EXPECT_EQ(area->release(next, 1000), 0);
}

TEST_F(AreaData, WholeMeansTheWholeBlock) {
  char* p = reserve(1000);
  EXPECT_EQ(try_begin(p, 999, true), -EINVAL);
  EXPECT_EQ(try_begin(p + 1, 999, true), -EINVAL);
  EXPECT_EQ(try_begin(p, 1001, true), -EFAULT);
  EXPECT_EQ(try_begin(p, 1000, true), 0);
  EXPECT_EQ(area->release(p, 1000), 0);
}

TEST_F(AreaData, InteriorPointersFindBlocksOfAllSizes) {
  for (size_t n : {size_t{64}, size_t{4096}, size_t{64 * 64}, size_t{64 * 64 + 64}, kSize}) {
    char* p = reserve(n);
    for (size_t at = 0; at < n; at += n < 8192 ? 1 : 4093) EXPECT_EQ(try_begin(p + at, 1), 0);
    EXPECT_EQ(area->release(p, n), 0);
  }
}

TEST_F(AreaData, InFlightUntilTheLastFlightEnds) {
  char* p = reserve(1000);
  const Flight first = begin(p, 1000);
  const Flight second = begin(p + 10, 10);
  EXPECT_EQ(stat().in_flight, 1024u);
  EXPECT_EQ(stat().reserved, 0u);
  EXPECT_EQ(area->release(p, 1000), -EINVAL);
  Area::end_flight(first, false);
  EXPECT_EQ(stat().in_flight, 1024u);
  EXPECT_EQ(area->release(p, 1000), -EINVAL);
  Area::end_flight(second, false);
  EXPECT_EQ(stat().reserved, 1024u);
  EXPECT_EQ(area->release(p, 1000), 0);
}

TEST_F(AreaData, AFlightThatReleasesGivesTheBlockBack) {
  char* p = reserve(1000);
  const Flight flight = begin(p, 1000, true);
  Area::end_flight(flight, true);
  EXPECT_EQ(stat().free, kSize);
  EXPECT_EQ(area->release(p, 1000), -EINVAL);
}

TEST_F(AreaData, AReleaseWaitsForTheOtherFlightsWhicheverEndsLast) {
  for (bool releasing_first : {true, false}) {
    char* p = reserve(1000);
    const Flight plain = begin(p, 1000);
    const Flight releasing = begin(p, 1000, true);
    Area::end_flight(releasing_first ? releasing : plain, releasing_first);
    EXPECT_EQ(stat().in_flight, 1024u);
    EXPECT_EQ(try_begin(p, 1), releasing_first ? -EFAULT : 0);
    EXPECT_EQ(area->release(p, 1000), -EINVAL);
    Area::end_flight(releasing_first ? plain : releasing, !releasing_first);
    EXPECT_EQ(stat().free, kSize);
  }
}

TEST_F(AreaData, TooManyFlightsAreBackPressure) {
  char* p = reserve(64);
  std::vector<Flight> flights;
  for (uint32_t i = 0; i < block_state::kMaxFlights; ++i) flights.push_back(begin(p, 64));
  EXPECT_EQ(try_begin(p, 64), -EAGAIN);
  for (const Flight& flight : flights) Area::end_flight(flight, false);
  EXPECT_EQ(try_begin(p, 64), 0);
  EXPECT_EQ(area->release(p, 64), 0);
}

}  // namespace
}  // namespace sio::internal
