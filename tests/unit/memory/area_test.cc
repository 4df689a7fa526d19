// SPDX-License-Identifier: BSD-2-Clause
#include "memory/area.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "fake_registrar.h"
#include "memory/region.h"

namespace sio::internal {
namespace {

using test::error_of;
using test::FakeRegistrar;

class AreaLife : public test::MemoryTest {};

TEST_F(AreaLife, RoundsUpToPages) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  Area* area = Area::create(page + 1);
  EXPECT_EQ(area->size(), 2 * page);
  EXPECT_EQ(area->destroy(page + 1), 0);
}

TEST_F(AreaLife, IsZeroedWritableAndAligned) {
  for (size_t size : {size_t{4096}, size_t{1} << 20, (size_t{4} << 20) + 4096}) {
    Area* area = Area::create(size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(area->base()) % 4096, 0u);
    for (size_t i = 0; i < size; i += 4096) EXPECT_EQ(area->base()[i], 0);
    std::memset(area->base(), 0xff, area->size());
    EXPECT_EQ(area->destroy(size), 0);
  }
}

TEST_F(AreaLife, HasTheKeysThatTheRegistrarGave) {
  Area* area = Area::create(4096);
  for (unsigned i = 0; i < kMaxDevices; ++i) EXPECT_EQ(area->lkey(i), 100 + i);
  EXPECT_EQ(area->destroy(4096), 0);
}

TEST_F(AreaLife, CreateRefusesWhatItCanNotMake) {
  EXPECT_EQ(error_of([] { Area::create(0); }), EINVAL);
  EXPECT_EQ(error_of([] { Area::create(SIZE_MAX); }), ENOMEM);
  EXPECT_EQ(error_of([] { Area::create(size_t{1} << 50); }), ENOMEM);
  EXPECT_EQ(FakeRegistrar::registered, 0);
}

TEST_F(AreaLife, CreateLeavesNothingWhenTheRegistrarFails) {
  FakeRegistrar::fail_with = ENOMEM;
  for (unsigned i = 0; i < kMaxAreas + 1; ++i) {
    EXPECT_EQ(error_of([] { Area::create(4096); }), ENOMEM);
  }
  FakeRegistrar::fail_with = 0;
  Area* area = Area::create(4096);
  EXPECT_EQ(area->destroy(4096), 0);
}

TEST_F(AreaLife, CreateSaysWhenThereIsNoRegistrar) {
  set_registrar({});
  EXPECT_EQ(error_of([] { Area::create(4096); }), ENODEV);
}

TEST_F(AreaLife, SaysEmfileWhenAllAreInUse) {
  std::vector<Area*> areas;
  while (areas.size() < kMaxAreas) areas.push_back(Area::create(4096));
  EXPECT_EQ(error_of([] { Area::create(4096); }), EMFILE);
  for (Area* area : areas) {
    EXPECT_EQ(Area::find(area->base() + 4095), area);
    EXPECT_EQ(Area::from_handle(area->handle()), area);
  }
  for (Area* area : areas) EXPECT_EQ(area->destroy(4096), 0);
}

TEST_F(AreaLife, HandleIsGoodUntilDestroyAndNeverAgain) {
  Area* area = Area::create(4096);
  const dma_mem_t handle = area->handle();
  EXPECT_EQ(Area::from_handle(handle), area);
  EXPECT_EQ(area->destroy(4096), 0);
  EXPECT_EQ(Area::from_handle(handle), nullptr);
  Area* next = Area::create(4096);
  EXPECT_NE(next->handle(), handle);
  EXPECT_EQ(Area::from_handle(handle), nullptr);
  EXPECT_EQ(Area::destroy(handle, 4096), -EINVAL);
  EXPECT_EQ(next->destroy(4096), 0);
}

TEST_F(AreaLife, GarbageIsNoHandle) {
  Area* area = Area::create(4096);
  const auto good = reinterpret_cast<uintptr_t>(area->handle());
  for (uintptr_t bits : {uintptr_t{0}, uintptr_t{1}, good + 1, good ^ (uintptr_t{1} << 40), ~good,
                         good << 32, uintptr_t{kMaxAreas}, uintptr_t{kMaxAreas} + 1, UINTPTR_MAX}) {
    EXPECT_EQ(Area::from_handle(reinterpret_cast<dma_mem_t>(bits)), nullptr) << bits;
    EXPECT_EQ(Area::destroy(reinterpret_cast<dma_mem_t>(bits), 4096), -EINVAL) << bits;
  }
  EXPECT_EQ(area->destroy(4096), 0);
}

TEST_F(AreaLife, FindKnowsTheBounds) {
  Area* area = Area::create(8192);
  const char* base = area->base();
  EXPECT_EQ(Area::find(base), area);
  EXPECT_EQ(Area::find(base + 8191), area);
  EXPECT_NE(Area::find(base + 8192), area);
  EXPECT_NE(Area::find(base - 1), area);
  EXPECT_EQ(Area::find(nullptr), nullptr);
  EXPECT_EQ(area->destroy(8192), 0);
  EXPECT_EQ(Area::find(base), nullptr);
}

TEST_F(AreaLife, DestroyTakesTheSizeAskedForOrThatInPages) {
  Area* area = Area::create(5000);
  for (size_t size : {size_t{0}, size_t{4999}, size_t{5001}, size_t{4096}, size_t{12288}}) {
    EXPECT_EQ(area->destroy(size), -EINVAL) << size;
  }
  EXPECT_EQ(area->destroy(5000), 0);
  area = Area::create(5000);
  EXPECT_EQ(area->destroy(8192), 0);
}

TEST_F(AreaLife, DestroyIsBusyWhileAnythingIsInUse) {
  Area* area = Area::create(8192);
  void* p;
  ASSERT_EQ(area->reserve(&p, 100), 0);
  EXPECT_EQ(area->destroy(8192), -EBUSY);
  Flight flight;
  ASSERT_EQ(area->begin_flight(p, 100, flight, true), 0);
  EXPECT_EQ(area->destroy(8192), -EBUSY);
  Area::end_flight(flight, true);
  EXPECT_TRUE(area->associate());
  EXPECT_EQ(area->destroy(8192), -EBUSY);
  area->dissociate();
  EXPECT_EQ(area->destroy(8192), 0);
}

TEST_F(AreaLife, DestroyWhenFreeEndsAFreeAreaAtOnce) {
  Area* area = Area::create(8192);
  const dma_mem_t handle = area->handle();
  area->destroy_when_free();
  EXPECT_EQ(Area::from_handle(handle), nullptr);
  EXPECT_EQ(FakeRegistrar::deregistered, 1);
}

TEST_F(AreaLife, DestroyWhenFreeWaitsForTheLastThatHoldsOn) {
  for (int last = 0; last < 4; ++last) {
    Area* area = Area::create(65536);
    const dma_mem_t handle = area->handle();
    void* p;
    void* q;
    ASSERT_EQ(area->reserve(&p, 100), 0);
    ASSERT_EQ(area->reserve(&q, 200), 0);
    Region* region = Region::create(*area, 1024, 1024, 1);
    region->arrived(0, false);
    region->hand_out(0, 0, 5);
    char* message = region->slot(0);
    EXPECT_TRUE(area->associate());
    Flight flight;
    ASSERT_EQ(area->begin_flight(q, 200, flight, true), 0);
    area->destroy_when_free();
    for (int i = 1; i <= 4; ++i) {
      EXPECT_EQ(Area::from_handle(handle), area);
      EXPECT_EQ(area->destroy(65536), -EBUSY);
      switch ((last + i) % 4) {
        case 0:
          EXPECT_EQ(area->release(p, 100), 0);
          break;
        case 1:
          Area::end_flight(flight, true);
          break;
        case 2:
          area->dissociate();
          break;
        default:
          region->detach();
          EXPECT_EQ(area->release(message, 5), 0);
      }
    }
    EXPECT_EQ(Area::from_handle(handle), nullptr);
    EXPECT_EQ(FakeRegistrar::deregistered, last + 1);
  }
}

TEST_F(AreaLife, AReusedObjectForgetsThatItsFormerAreaWasToEnd) {
  Area* area = Area::create(8192);
  area->destroy_when_free();
  area = Area::create(8192);
  void* p;
  ASSERT_EQ(area->reserve(&p, 100), 0);
  ASSERT_EQ(area->release(p, 100), 0);
  EXPECT_EQ(area->destroy(8192), 0);
}

TEST_F(AreaLife, CallsOnAnEndedAreaAreRefused) {
  Area* area = Area::create(8192);
  void* p;
  ASSERT_EQ(area->reserve(&p, 100), 0);
  ASSERT_EQ(area->release(p, 100), 0);
  ASSERT_EQ(area->destroy(8192), 0);
  Flight flight;
  EXPECT_EQ(area->reserve(&p, 100), -EINVAL);
  EXPECT_EQ(area->release(p, 100), -EINVAL);
  EXPECT_EQ(area->begin_flight(p, 100, flight, false), -EFAULT);
  EXPECT_EQ(area->destroy(8192), -EINVAL);
  EXPECT_FALSE(area->associate());
  struct dma_stat s;
  area->stat(s);
  EXPECT_EQ(s.size, 0u);
}

TEST_F(AreaLife, ObjectsAndTablesAreReusedForOtherSizes) {
  for (int round = 0; round < 3; ++round) {
    for (size_t size : {size_t{4096}, size_t{3} << 20, size_t{12288}, size_t{9} << 20}) {
      Area* area = Area::create(size);
      void* p;
      ASSERT_EQ(area->reserve(&p, size), 0);
      EXPECT_EQ(p, area->base());
      EXPECT_EQ(area->release(p, size), 0);
      struct dma_stat s;
      area->stat(s);
      EXPECT_EQ(s.largest_free, size);
      EXPECT_EQ(area->destroy(size), 0);
    }
  }
}

}  // namespace
}  // namespace sio::internal
