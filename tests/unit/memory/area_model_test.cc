// SPDX-License-Identifier: BSD-2-Clause
//
// Random calls, compared after each step with a model that is too simple to be wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "fake_registrar.h"
#include "memory/area.h"
#include "random.h"

namespace sio::internal {
namespace {

size_t in_lines(size_t n) { return (n + 63) / 64 * 64; }

struct ModelBlock {
  size_t bytes;
  std::vector<Flight> flights;
  bool releasing = false;
};

class AreaModel : public test::AreaFixture, public testing::WithParamInterface<unsigned> {
 protected:
  using Blocks = std::map<char*, ModelBlock>;

  size_t largest_gap() const {
    size_t largest = 0;
    char* at = area->base();
    for (const auto& [p, block] : blocks) {
      largest = std::max(largest, static_cast<size_t>(p - at));
      at = p + in_lines(block.bytes);
    }
    return std::max(largest, static_cast<size_t>(area->base() + kSize - at));
  }

  void check() {
    const struct dma_stat s = stat();
    size_t reserved = 0;
    size_t in_flight = 0;
    for (const auto& [p, block] : blocks) {
      (block.flights.empty() ? reserved : in_flight) += in_lines(block.bytes);
    }
    ASSERT_EQ(s.reserved, reserved);
    ASSERT_EQ(s.in_flight, in_flight);
    ASSERT_EQ(s.free, kSize - reserved - in_flight);
    ASSERT_EQ(s.largest_free, largest_gap());
  }

  size_t random_size() {
    const size_t magnitude = size_t{1} << random.below(18);
    return 1 + random.below(magnitude);
  }

  Blocks::iterator random_block() { return std::next(blocks.begin(), random.below(blocks.size())); }

  void step_reserve() {
    const size_t n = random_size();
    const bool fits = in_lines(n) <= largest_gap();
    void* p = nullptr;
    ASSERT_EQ(area->reserve(&p, n), fits ? 0 : -ENOBUFS);
    if (!fits) return;
    auto* start = static_cast<char*>(p);
    const auto after = blocks.lower_bound(start);
    ASSERT_TRUE(after == blocks.end() || start + in_lines(n) <= after->first);
    if (after != blocks.begin()) {
      const auto before = std::prev(after);
      ASSERT_LE(before->first + in_lines(before->second.bytes), start);
    }
    std::memset(p, static_cast<int>(random.next()), n);
    blocks[start] = {n, {}, false};
  }

  void step_release() {
    const auto it = random_block();
    const bool free = it->second.flights.empty();
    ASSERT_EQ(area->release(it->first, it->second.bytes), free ? 0 : -EINVAL);
    if (free) blocks.erase(it);
  }

  void step_begin() {
    auto& [p, block] = *random_block();
    const size_t skip = random.below(block.bytes + 1);
    const size_t n = random.below(block.bytes - skip + 1);
    // In the last line of the block: an end on the boundary belongs to what follows.
    if (n == 0 && skip == block.bytes) return;
    Flight flight;
    ASSERT_EQ(area->begin_flight(p + skip, n, flight, false), block.releasing ? -EFAULT : 0);
    if (!block.releasing) block.flights.push_back(flight);
  }

  void step_end() {
    const auto it = random_block();
    auto& [p, block] = *it;
    if (block.flights.empty()) return;
    const bool release = random.one_in(4);
    Area::end_flight(block.flights.back(), release);
    block.flights.pop_back();
    block.releasing = block.releasing || release;
    if (block.releasing && block.flights.empty()) blocks.erase(it);
  }

  void end_all() {
    for (auto& [p, block] : blocks) {
      for (const Flight& flight : block.flights) Area::end_flight(flight, true);
      if (block.flights.empty()) {
        ASSERT_EQ(area->release(p, block.bytes), 0);
      }
    }
    blocks.clear();
  }

  test::Random random{GetParam()};
  Blocks blocks;
};

TEST_P(AreaModel, AgreesWithTheModelAtEveryStep) {
  for (int step = 0; step < 6000; ++step) {
    // Fills up and empties in turns, so that both ends are seen.
    const unsigned bias = step / 1000 % 2 == 0 ? 5 : 2;
    const unsigned dice = random.below(10);
    if (blocks.empty() || dice < bias) {
      step_reserve();
    } else if (dice < 8) {
      step_release();
    } else if (dice == 8) {
      step_begin();
    } else {
      step_end();
    }
    check();
    if (HasFatalFailure()) FAIL() << "seed " << GetParam() << " step " << step;
  }
  end_all();
}

INSTANTIATE_TEST_SUITE_P(Seeds, AreaModel, testing::Range(1u, 7u));

}  // namespace
}  // namespace sio::internal
