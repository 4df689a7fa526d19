// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <vector>

#include "fake_registrar.h"
#include "memory/region.h"

namespace sio::internal::test {

// A test with one region of 8 slots of 1 KiB and 512 bytes that are in no slot. The test detaches
// it; that all of the area is free in the end shows that it went.
class RegionFixture : public AreaFixture {
 protected:
  static constexpr uint32_t kSlot = 1024;
  static constexpr uint32_t kSlots = 8;
  static constexpr size_t kBytes = kSlot * kSlots + 512;

  void SetUp() override {
    AreaFixture::SetUp();
    region = Region::create(*area, kBytes, kSlot, kSlots);
  }

  // A lone message of len bytes.
  char* lone(uint32_t slot, uint32_t len) {
    region->arrived(slot, false);
    region->hand_out(slot, 0, len);
    region->finish(slot);
    return region->slot(slot);
  }
  // A train of messages of these lengths; where they lie.
  std::vector<char*> train(uint32_t slot, std::vector<uint32_t> lengths) {
    std::vector<char*> messages;
    region->arrived(slot, true);
    uint32_t at = 0;
    for (const uint32_t len : lengths) {
      region->hand_out(slot, at + 8, len);
      messages.push_back(region->slot(slot) + at + 8);
      at += 8 + (len + 7) / 8 * 8;
    }
    region->finish(slot);
    return messages;
  }
  // Takes all returned slots.
  std::vector<uint32_t> collect() {
    std::vector<uint32_t> slots(kSlots);
    slots.resize(static_cast<size_t>(region->collect(slots.data(), kSlots)));
    return slots;
  }

  Region* region = nullptr;
};

}  // namespace sio::internal::test
