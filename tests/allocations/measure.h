// SPDX-License-Identifier: BSD-2-Clause
//
// What the tests of this program have in common.
#pragma once

#include <functional>

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

  // Does n of it, after a tenth of that to warm up: the n ask for no memory, once growth has ended.
  static void expect_none(uint64_t n, const std::function<void(uint64_t)>& some);

  // Does so many rounds of it: from the tenth to the last one no memory is asked for, and no more
  // of it is resident.
  static void expect_no_growth(uint64_t rounds, const std::function<void()>& round);

 private:
  static void expect_end_of_growth(const std::function<void()>& pass);
};

}  // namespace sio::test
