// SPDX-License-Identifier: BSD-2-Clause
//
// What the tests of this program have in common.
#pragma once

#include <functional>
#include <string>

#include "allocations/both_ends.h"
#include "allocations/counter.h"
#include "conformance/fixtures.h"

namespace sio::test {

class AllocationTest : public testing::Test {
 protected:
  // Skips where nothing can be counted, or no messages be sent.
  void SetUp() override;

  // How many, here: a device may be an emulated one, on an emulated processor.
  static uint64_t messages(uint64_t soft, uint64_t rxe);

  // Does n of it, after some tenths of that to warm up: the n ask for no memory.
  static void expect_none(uint64_t n, const std::function<void(uint64_t)>& some);

  // Does so many rounds of it less ten, after some times ten to warm up: no memory is asked for,
  // and no more of it is resident.
  static void expect_no_growth(uint64_t rounds, const std::function<void()>& round);

 private:
  // Does it until all that grows has grown.
  static void warm_up(const std::function<void()>& some);
  static uint64_t made_by(uint64_t n, const std::function<void(uint64_t)>& some,
                          std::string& callers);
};

}  // namespace sio::test
