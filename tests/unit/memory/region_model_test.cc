// SPDX-License-Identifier: BSD-2-Clause
//
// Random calls to a region, compared after each step with a simple model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "random.h"
#include "region_fixture.h"

namespace sio::internal {
namespace {

struct ModelMessage {
  char* p;
  uint32_t slot;
  uint32_t len;
  std::vector<Flight> flights;
  bool releasing = false;
};

enum class SlotState { kPosted, kReceived, kReturned };

struct ModelSlot {
  SlotState state = SlotState::kPosted;
  bool train = false;
  bool decoding = false;
  uint32_t decoded = 0;  // where the next message of the train goes
};

class RegionModel : public test::RegionFixture, public testing::WithParamInterface<unsigned> {
 protected:
  bool holds(uint32_t slot) const {
    return std::any_of(messages.begin(), messages.end(),
                       [=](const ModelMessage& m) { return m.slot == slot; });
  }
  bool flies(uint32_t slot) const {
    return std::any_of(messages.begin(), messages.end(),
                       [=](const ModelMessage& m) { return m.slot == slot && !m.flights.empty(); });
  }
  size_t slots_in(SlotState state) const {
    return static_cast<size_t>(std::count_if(slots.begin(), slots.end(),
                                             [=](const ModelSlot& s) { return s.state == state; }));
  }

  void settle(uint32_t slot) {
    if (!slots[slot].decoding && !holds(slot)) slots[slot].state = SlotState::kReturned;
  }
  void drop(size_t i) {
    const uint32_t slot = messages[i].slot;
    messages.erase(messages.begin() + static_cast<std::ptrdiff_t>(i));
    settle(slot);
  }

  void check() {
    size_t flying = 0;
    for (uint32_t i = 0; i < kSlots; ++i) flying += flies(i) ? 1 : 0;
    const struct dma_stat s = stat();
    ASSERT_EQ(s.in_flight, flying * kSlot);
    ASSERT_EQ(s.received, (slots_in(SlotState::kReceived) - flying) * kSlot);
    ASSERT_EQ(s.posted, kBytes - slots_in(SlotState::kReceived) * kSlot);
    ASSERT_EQ(region->returned(), slots_in(SlotState::kReturned));
  }

  void step_arrive(uint32_t i) {
    ModelSlot& slot = slots[i];
    if (slot.state != SlotState::kPosted) return;
    if (random.one_in(3)) return step_deliver(i);
    slot = {SlotState::kReceived, random.one_in(2), true, 8};
    region->arrived(i, slot.train);
  }

  void step_deliver(uint32_t i) {
    const uint32_t len = random.below(kSlot + 1);
    slots[i] = {SlotState::kReceived, false, false, 0};
    region->deliver(i, len);
    messages.push_back({region->slot(i), i, len, {}, false});
  }

  void step_decode(uint32_t i) {
    ModelSlot& slot = slots[i];
    if (!slot.decoding) return;
    const uint32_t room = slot.train ? kSlot - slot.decoded : kSlot;
    const bool full = slot.train ? slot.decoded + 64 > kSlot : slot.decoded != 8;
    if (full || random.one_in(4)) {
      region->finish(i);
      slot.decoding = false;
      return settle(i);
    }
    const uint32_t offset = slot.train ? slot.decoded : 0;
    const uint32_t len = random.below(std::min(room, slot.train ? 200u : room) + 1);
    region->hand_out(i, offset, len);
    messages.push_back({region->slot(i) + offset, i, len, {}, false});
    std::memset(region->slot(i), static_cast<int>(random.next()), kSlot);
    slot.decoded += 8 + (len + 7) / 8 * 8;
  }

  void step_release(size_t i) {
    const ModelMessage& m = messages[i];
    ASSERT_EQ(area->release(m.p, m.len + 1), -EINVAL);
    ASSERT_EQ(area->release(m.p + 1, m.len), -EINVAL);
    ASSERT_EQ(area->release(m.p, m.len), m.flights.empty() ? 0 : -EINVAL);
    if (m.flights.empty()) drop(i);
  }

  void step_take_back(size_t i) {
    const ModelMessage& m = messages[i];
    if (!m.flights.empty()) return;
    region->take_back(m.slot, static_cast<uint32_t>(m.p - region->slot(m.slot)));
    drop(i);
  }

  void step_begin(size_t i) {
    ModelMessage& m = messages[i];
    const uint32_t skip = m.len == 0 ? 0 : random.below(m.len);
    const uint32_t n = random.below(m.len - skip + 1);
    Flight flight;
    ASSERT_EQ(area->begin_flight(m.p + skip, n, flight, false), m.releasing ? -EFAULT : 0);
    if (!m.releasing) m.flights.push_back(flight);
  }

  void step_end(size_t i) {
    ModelMessage& m = messages[i];
    if (m.flights.empty()) return;
    const bool release = random.one_in(4);
    Area::end_flight(m.flights.back(), release);
    m.flights.pop_back();
    m.releasing = m.releasing || release;
    if (m.releasing && m.flights.empty()) drop(i);
  }

  void step_collect() {
    uint32_t collected[kSlots];
    const int max = static_cast<int>(random.below(kSlots + 1));
    const int n = region->collect(collected, max);
    ASSERT_EQ(n, std::min(max, static_cast<int>(slots_in(SlotState::kReturned))));
    for (int i = 0; i < n; ++i) {
      ASSERT_EQ(slots[collected[i]].state, SlotState::kReturned);
      slots[collected[i]].state = SlotState::kPosted;
    }
  }

  void step() {
    const uint32_t slot = random.below(kSlots);
    const size_t i = messages.empty() ? 0 : random.below(messages.size());
    switch (messages.empty() ? random.below(3) : random.below(8)) {
      case 0:
        return step_arrive(slot);
      case 1:
        return step_decode(slot);
      case 2:
        return step_collect();
      case 3:
        return step_begin(i);
      case 4:
        return step_end(i);
      case 5:
        return random.one_in(8) ? step_take_back(i) : void();
      default:
        return step_release(i);
    }
  }

  test::Random random{GetParam()};
  std::vector<ModelSlot> slots{kSlots};
  std::vector<ModelMessage> messages;
};

TEST_P(RegionModel, AgreesWithTheModelAtEveryStep) {
  for (int n = 0; n < 20000; ++n) {
    step();
    check();
    if (HasFatalFailure()) FAIL() << "seed " << GetParam() << " step " << n;
  }
  region->detach();
  while (!messages.empty()) {
    ModelMessage m = messages.back();
    messages.pop_back();
    for (const Flight& flight : m.flights) Area::end_flight(flight, true);
    if (m.flights.empty()) {
      ASSERT_EQ(area->release(m.p, m.len), 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RegionModel, testing::Range(1u, 7u));

}  // namespace
}  // namespace sio::internal
