// SPDX-License-Identifier: BSD-2-Clause
//
// Runs schedules: SIO_FAULT_SEED=N that one, SIO_FAULT_SCHEDULES=N so many.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "faults/fault_plan.h"
#include "faults/guest.h"

namespace sio::test {

// What goes wrong on connections: each kind in one of three schedules.
Faults faults_of(Random& random);
inline uint32_t rate(Random& random, uint32_t often) {
  return random() % 3 == 0 ? often + static_cast<uint32_t>(random() % often) : 0u;
}
Home::Way any_way(Random& random);

// Each guest closes and has its outcomes, and the homes end.
void end_all(const std::vector<Home*>& homes, const std::vector<Guest*>& guests);

// With the seeds from 1; after each nothing may be left.
void run_schedules(uint64_t count, const std::function<void(uint64_t seed)>& run);

}  // namespace sio::test
