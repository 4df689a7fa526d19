// SPDX-License-Identifier: BSD-2-Clause
//
// A registrar without devices: counts, and fails when told to.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <system_error>

#include "memory/area.h"

namespace sio::internal::test {

struct FakeRegistrar {
  static inline std::atomic<int> registered{0};
  static inline std::atomic<int> deregistered{0};
  static inline std::atomic<int> fail_with{0};  // an errno for all registrations from now on

  static void install() {
    registered = 0;
    deregistered = 0;
    fail_with = 0;
    set_registrar({register_memory, deregister});
  }

  static void* register_memory(void* p, size_t, bool, std::array<uint32_t, kMaxDevices>& lkeys) {
    if (fail_with != 0) throw std::system_error(fail_with, std::generic_category(), "fake");
    const int n = ++registered;
    for (uint32_t i = 0; i < kMaxDevices; ++i) lkeys[i] = static_cast<uint32_t>(n) * 100 + i;
    return p;
  }
  static void deregister(void*) noexcept { ++deregistered; }
};

// Every test ends with as many deregistrations as registrations.
class MemoryTest : public testing::Test {
 protected:
  void SetUp() override { FakeRegistrar::install(); }
  void TearDown() override { EXPECT_EQ(FakeRegistrar::registered, FakeRegistrar::deregistered); }
};

// A test with one area, all of which must be free in the end.
class AreaFixture : public MemoryTest {
 protected:
  static constexpr size_t kSize = size_t{1} << 20;

  void SetUp() override {
    MemoryTest::SetUp();
    area = Area::create(kSize);
  }
  void TearDown() override {
    const struct dma_stat s = stat();
    EXPECT_EQ(s.free, area->size());
    EXPECT_EQ(s.largest_free, area->size()) << "free blocks were not merged";
    EXPECT_EQ(area->destroy(kSize), 0);
    MemoryTest::TearDown();
  }

  struct dma_stat stat() {
    struct dma_stat s;
    area->stat(s);
    EXPECT_EQ(s.free + s.reserved + s.received + s.posted + s.in_flight, s.size);
    return s;
  }
  char* reserve(size_t n) {
    void* p = nullptr;
    EXPECT_EQ(area->reserve(&p, n), 0);
    return static_cast<char*>(p);
  }
  Flight begin(const void* p, size_t n, bool whole = false) {
    Flight flight{};
    EXPECT_EQ(area->begin_flight(p, n, flight, whole), 0);
    return flight;
  }
  int try_begin(const void* p, size_t n, bool whole = false) {
    Flight flight{};
    const int result = area->begin_flight(p, n, flight, whole);
    if (result == 0) Area::end_flight(flight, false);
    return result;
  }

  Area* area = nullptr;
};

inline int error_of(auto&& call) {
  try {
    call();
  } catch (const std::system_error& e) {
    return e.code().value();
  }
  return 0;
}

}  // namespace sio::internal::test
