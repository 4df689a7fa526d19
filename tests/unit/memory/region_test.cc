// SPDX-License-Identifier: BSD-2-Clause
#include "memory/region.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "region_fixture.h"

namespace sio::internal {
namespace {

using test::error_of;

class RegionTest : public test::RegionFixture {};

using Slots = std::vector<uint32_t>;

TEST_F(RegionTest, AllOfItIsPostedAtFirst) {
  EXPECT_EQ(stat().posted, size_t{kBytes});
  EXPECT_EQ(region->slots(), kSlots);
  EXPECT_EQ(region->slot_size(), kSlot);
  EXPECT_EQ(&region->area(), area);
  for (uint32_t i = 0; i < kSlots; ++i) EXPECT_EQ(region->slot(i), region->slot(0) + i * kSlot);
  region->detach();
  EXPECT_EQ(stat().posted, 0u);
}

TEST_F(RegionTest, CreateRefusesWhatDoesNotFit) {
  const struct {
    size_t bytes;
    uint32_t slot_size;
    uint32_t slots;
    int error;
  } cases[] = {
      {8191, 1024, 8, EINVAL},     {8192, 1000, 8, EINVAL},
      {8192, 0, 8, EINVAL},        {8192, 1024, 0, EINVAL},
      {SIZE_MAX, 1024, 8, EINVAL}, {kSize + 4096, 1024, 8, ENOBUFS},
      {kSize, 1024, 8, ENOBUFS},   {size_t{1} << 30, 1u << 24, 8, EINVAL},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(error_of([&] { Region::create(*area, c.bytes, c.slot_size, c.slots); }), c.error)
        << c.bytes << ' ' << c.slot_size << ' ' << c.slots;
  }
  region->detach();
}

TEST_F(RegionTest, ALoneMessageReturnsItsSlotWhenReleased) {
  char* p = lone(3, 100);
  EXPECT_EQ(stat().received, kSlot);
  EXPECT_EQ(collect(), Slots{});
  EXPECT_EQ(area->release(p, 100), 0);
  EXPECT_EQ(stat().received, 0u);
  EXPECT_EQ(stat().posted, size_t{kBytes});
  EXPECT_EQ(region->returned(), 1u);
  EXPECT_EQ(collect(), Slots{3});
  EXPECT_EQ(region->returned(), 0u);
  region->detach();
}

// Whatever the size of the slots: the slot of an address is found without a division.
TEST_F(RegionTest, EachMessageIsFoundAndNothingBesideIt) {
  for (const uint32_t size : {64u, 192u, 320u, 1024u, 1088u, 4032u, 8192u}) {
    constexpr uint32_t kMany = 7;
    Region* const other = Region::create(*area, size_t{kMany} * size, size, kMany);
    for (uint32_t i = 0; i < kMany; ++i) {
      other->deliver(i, size);
      char* const p = other->slot(i);
      EXPECT_EQ(area->release(p - 1, size), -EINVAL) << size << ' ' << i;
      EXPECT_EQ(area->release(p + 1, size), -EINVAL) << size << ' ' << i;
      EXPECT_EQ(area->release(p + size - 1, size), -EINVAL) << size << ' ' << i;
      EXPECT_EQ(area->release(p, size - 1), -EINVAL) << size << ' ' << i;
      EXPECT_EQ(area->release(p, size), 0) << size << ' ' << i;
      EXPECT_EQ(area->release(p, size), -EINVAL) << size << ' ' << i;
    }
    EXPECT_EQ(other->returned(), kMany);
    other->detach();
  }
  region->detach();
}

TEST_F(RegionTest, TheMessagesOfATrainAreHandedOutTogether) {
  region->arrived(4, true);
  region->prepare_to_hand_out(4, 2);
  region->hand_out_prepared(4, 8, 10);
  region->hand_out_prepared(4, 32, 20);
  region->finish(4);
  EXPECT_EQ(area->release(region->slot(4) + 32, 20), 0);
  EXPECT_EQ(collect(), Slots{});
  EXPECT_EQ(area->release(region->slot(4) + 8, 10), 0);
  EXPECT_EQ(collect(), Slots{4});
  region->detach();
}

// The last release was of another region, which may have gone.
TEST_F(RegionTest, AMessageIsFoundAfterThoseOfOtherRegions) {
  char* const p = lone(3, 100);
  Region* const other = Region::create(*area, 8192, 1024, 8);
  other->deliver(0, 5);
  EXPECT_EQ(area->release(other->slot(0), 5), 0);
  other->detach();
  EXPECT_EQ(area->release(p, 100), 0);
  void* block = nullptr;
  EXPECT_EQ(area->reserve(&block, 100), 0);
  EXPECT_EQ(area->release(block, 100), 0);
  EXPECT_EQ(collect(), Slots{3});
  region->detach();
}

TEST_F(RegionTest, AReleasedMessageKeepsTheSlotUntilTheDecoderHasFinished) {
  region->arrived(2, false);
  region->hand_out(2, 0, 7);
  EXPECT_EQ(area->release(region->slot(2), 7), 0);
  EXPECT_EQ(stat().received, kSlot);
  EXPECT_EQ(collect(), Slots{});
  region->finish(2);
  EXPECT_EQ(stat().received, 0u);
  EXPECT_EQ(collect(), Slots{2});
  region->detach();
}

TEST_F(RegionTest, ASlotWithoutMessagesReturnsWhenFinished) {
  region->arrived(0, false);
  region->finish(0);
  EXPECT_EQ(collect(), Slots{0});
  region->detach();
}

TEST_F(RegionTest, ATrainReturnsWithItsLastMessageInAnyOrder) {
  Slots order = {0, 1, 2};
  do {
    const std::vector<char*> m = train(1, {10, 20, 30});
    const uint32_t lengths[] = {10, 20, 30};
    for (const uint32_t i : order) {
      EXPECT_EQ(collect(), Slots{});
      EXPECT_EQ(area->release(m[i], lengths[i]), 0);
      EXPECT_EQ(area->release(m[i], lengths[i]), -EINVAL);
    }
    EXPECT_EQ(collect(), Slots{1});
  } while (std::next_permutation(order.begin(), order.end()));
  region->detach();
}

TEST_F(RegionTest, EmptyMessagesOfATrainAreDistinct) {
  const std::vector<char*> m = train(1, {0, 0, 5, 0});
  for (char* p : m) EXPECT_EQ(area->release(p, 1), -EINVAL);
  EXPECT_EQ(area->release(m[1], 0), 0);
  EXPECT_EQ(area->release(m[1], 0), -EINVAL);
  EXPECT_EQ(area->release(m[0], 0), 0);
  EXPECT_EQ(area->release(m[3], 0), 0);
  EXPECT_EQ(area->release(m[2], 5), 0);
  EXPECT_EQ(collect(), Slots{1});
  region->detach();
}

TEST_F(RegionTest, ASlotIsUsedForTrainsAndLoneMessagesInTurn) {
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(area->release(lone(4, kSlot), kSlot), 0);
    EXPECT_EQ(collect(), Slots{4});
    const std::vector<char*> m = train(4, {1, 1016 - 24});
    EXPECT_EQ(area->release(region->slot(4), kSlot), -EINVAL);
    EXPECT_EQ(area->release(m[0], 1), 0);
    EXPECT_EQ(area->release(m[1], 1016 - 24), 0);
    EXPECT_EQ(collect(), Slots{4});
  }
  region->detach();
}

TEST_F(RegionTest, CollectTakesNoMoreThanAskedFor) {
  for (uint32_t i = 0; i < 5; ++i) EXPECT_EQ(area->release(lone(i, 1), 1), 0);
  Slots all;
  uint32_t two[2];
  EXPECT_EQ(region->collect(two, 2), 2);
  all.insert(all.end(), two, two + 2);
  EXPECT_EQ(region->returned(), 3u);
  EXPECT_EQ(area->release(lone(7, 1), 1), 0);
  EXPECT_EQ(region->returned(), 4u);
  for (const uint32_t slot : collect()) all.push_back(slot);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, (Slots{0, 1, 2, 3, 4, 7}));
  region->detach();
}

TEST_F(RegionTest, ReleaseRefusesWhatIsNotExactlyHeld) {
  const std::vector<char*> m = train(1, {100, 50});
  char* p = lone(2, 100);
  const struct {
    void* p;
    size_t n;
    const char* what;
  } cases[] = {
      {p, 99, "smaller"},
      {p, 101, "larger"},
      {p, kSlot, "the slot"},
      {p, 0, "nothing"},
      {p, 100 + (size_t{1} << 24), "a length that wraps"},
      {p, 100 + (size_t{1} << 32), "a length that wraps"},
      {p + 8, 92, "not the start"},
      {p + 1, 100, "not on a granule"},
      {p - 1, 101, "before"},
      {m[0], 99, "smaller, train"},
      {m[0], 101, "larger, train"},
      {m[0] + 8, 92, "not the start, train"},
      {m[0] + 1, 99, "not on a granule, train"},
      {m[0] - 8, 108, "with its header"},
      {m[0], 158, "two messages"},
      {region->slot(1), 100, "the start of a train"},
      {region->slot(3), 100, "posted"},
      {region->slot(0), 0, "posted, nothing"},
      {region->slot(0), kBytes, "the region"},
      {region->slot(7) + kSlot, 1, "in no slot"},
      {region->slot(7) + kSlot + 511, 1, "the last byte of the region"},
  };
  for (const auto& c : cases) EXPECT_EQ(area->release(c.p, c.n), -EINVAL) << c.what;
  EXPECT_EQ(area->release(p, 100), 0);
  EXPECT_EQ(area->release(p, 100), -EINVAL) << "twice";
  EXPECT_EQ(area->release(m[0], 100), 0);
  EXPECT_EQ(area->release(m[1], 50), 0);
  EXPECT_EQ(collect().size(), 2u);
  region->detach();
}

TEST_F(RegionTest, FlightsTakeAnyPartOfOneMessage) {
  const std::vector<char*> m = train(1, {100, 0, 50});
  char* p = lone(2, 100);
  for (char* message : {p, m[0]}) {
    for (size_t skip : {0u, 1u, 8u, 50u, 99u}) {
      EXPECT_EQ(try_begin(message + skip, 100 - skip), 0) << skip;
      EXPECT_EQ(try_begin(message + skip, 101 - skip), -EFAULT) << skip;
    }
    EXPECT_EQ(try_begin(message, 100, true), 0);
    EXPECT_EQ(try_begin(message, 99, true), -EINVAL);
    EXPECT_EQ(try_begin(message + 1, 99, true), -EINVAL);
    EXPECT_EQ(try_begin(message, SIZE_MAX), -EFAULT);
    EXPECT_EQ(try_begin(message - 1, 1), -EFAULT);
  }
  EXPECT_EQ(try_begin(m[1], 0, true), 0) << "an empty message";
  EXPECT_EQ(try_begin(m[1], 1), -EFAULT) << "the header behind it";
  EXPECT_EQ(try_begin(region->slot(3), 1), -EFAULT) << "posted";
  EXPECT_EQ(try_begin(region->slot(7) + kSlot, 1), -EFAULT) << "in no slot";
  EXPECT_EQ(area->release(m[0], 100), 0);
  EXPECT_EQ(try_begin(m[0], 100), -EFAULT) << "released";
  EXPECT_EQ(area->release(m[1], 0), 0);
  EXPECT_EQ(area->release(m[2], 50), 0);
  EXPECT_EQ(area->release(p, 100), 0);
  region->detach();
}

TEST_F(RegionTest, AMessageInFlightCanNotBeReleased) {
  for (const bool is_train : {false, true}) {
    char* p = is_train ? train(1, {3, 100})[1] : lone(1, 100);
    const Flight first = begin(p, 100);
    const Flight second = begin(p + 50, 10);
    EXPECT_EQ(stat().in_flight, kSlot);
    EXPECT_EQ(stat().received, 0u);
    EXPECT_EQ(area->release(p, 100), -EINVAL);
    Area::end_flight(second, false);
    EXPECT_EQ(stat().in_flight, kSlot);
    EXPECT_EQ(area->release(p, 100), -EINVAL);
    Area::end_flight(first, false);
    EXPECT_EQ(stat().received, kSlot);
    EXPECT_EQ(area->release(p, 100), 0);
    if (is_train) {
      EXPECT_EQ(area->release(region->slot(1) + 8, 3), 0);
    }
    EXPECT_EQ(collect(), Slots{1});
  }
  region->detach();
}

TEST_F(RegionTest, AReleaseWaitsForTheOtherFlightsWhicheverEndsLast) {
  for (const bool is_train : {false, true}) {
    for (const bool releasing_first : {true, false}) {
      char* p = is_train ? train(1, {100})[0] : lone(1, 100);
      const Flight plain = begin(p, 100);
      const Flight releasing = begin(p, 100, true);
      Area::end_flight(releasing_first ? releasing : plain, releasing_first);
      EXPECT_EQ(try_begin(p, 1), releasing_first ? -EFAULT : 0);
      EXPECT_EQ(collect(), Slots{});
      Area::end_flight(releasing_first ? plain : releasing, !releasing_first);
      EXPECT_EQ(area->release(p, 100), -EINVAL);
      EXPECT_EQ(collect(), Slots{1});
    }
  }
  region->detach();
}

TEST_F(RegionTest, TooManyFlightsAreBackPressure) {
  char* p = lone(0, 100);
  std::vector<Flight> flights;
  for (int i = 0; i < 126; ++i) flights.push_back(begin(p, 100));
  EXPECT_EQ(try_begin(p, 100), -EAGAIN);
  for (const Flight& flight : flights) Area::end_flight(flight, false);
  EXPECT_EQ(area->release(p, 100), 0);
  region->detach();
}

TEST_F(RegionTest, TakeBackUndoesHandOut) {
  region->arrived(0, true);
  region->hand_out(0, 8, 10);
  region->hand_out(0, 32, 10);
  region->finish(0);
  region->take_back(0, 32);
  EXPECT_EQ(area->release(region->slot(0) + 32, 10), -EINVAL);
  EXPECT_EQ(collect(), Slots{});
  region->take_back(0, 8);
  EXPECT_EQ(collect(), Slots{0});
  region->detach();
}

TEST_F(RegionTest, TakeBackOfWhatTheProgramGuessedDoesNoHarm) {
  region->arrived(0, false);
  region->hand_out(0, 0, 10);
  const Flight flight = begin(region->slot(0), 10);
  region->take_back(0, 0);
  EXPECT_EQ(try_begin(region->slot(0), 10), -EFAULT);
  Area::end_flight(flight, false);
  region->arrived(1, false);
  region->hand_out(1, 0, 10);
  EXPECT_EQ(area->release(region->slot(1), 10), 0);
  region->take_back(1, 0);
  region->finish(0);
  region->finish(1);
  EXPECT_EQ(collect().size(), 2u);
  region->detach();
}

}  // namespace
}  // namespace sio::internal
