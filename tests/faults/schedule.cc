// SPDX-License-Identifier: BSD-2-Clause
#include "faults/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "conformance/support.h"

namespace sio::test {
namespace {

uint64_t number_from(const char* variable, uint64_t otherwise) {
  const char* value = std::getenv(variable);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

void run_one(uint64_t seed, const std::function<void(uint64_t seed)>& run) {
  run(seed);
  EXPECT_TRUE(eventually([] { return plan().left().empty(); }))
      << plan().left() << "are left (SIO_FAULT_SEED=" << seed << ')';
}

}  // namespace

Faults faults_of(Random& random) {
  Faults faults;
  faults.register_memory = rate(random, 20);
  faults.create = rate(random, 20);
  faults.resize = rate(random, 3);
  faults.connect = rate(random, 20);
  faults.post_send = rate(random, 300);
  faults.post_receive = rate(random, 300);
  faults.status = rate(random, 300);
  faults.late = rate(random, 5);
  faults.drop = rate(random, 300);
  return faults;
}

Home::Way any_way(Random& random) {
  constexpr Home::Way kWays[] = {Home::Way::kAlone, Home::Way::kDelivering, Home::Way::kReadable};
  return kWays[random() % 3];
}

void end_all(const std::vector<Home*>& homes, const std::vector<Guest*>& guests) {
  for (Guest* one : guests) one->close();
  const bool all_told = eventually([&] {
    for (Home* one : homes) {
      if (one->stands()) one->take_events();
    }
    return std::all_of(homes.begin(), homes.end(),
                       [](Home* one) { return one->requests_ended(); }) &&
           std::all_of(guests.begin(), guests.end(), [](Guest* one) { return one->settled(); });
  });
  EXPECT_TRUE(all_told) << "outcomes are missing" << homes.front()->trace();
  for (Guest* one : guests) one->release_all();
  for (Home* one : homes) one->end();
}

void run_schedules(uint64_t count, const std::function<void(uint64_t seed)>& run) {
  if (const uint64_t seed = number_from("SIO_FAULT_SEED", 0)) return run_one(seed, run);
  const uint64_t schedules = number_from("SIO_FAULT_SCHEDULES", count);
  const uint64_t before = plan().struck();
  for (uint64_t seed = 1; seed <= schedules && !testing::Test::HasFailure(); ++seed)
    run_one(seed, run);
  const uint64_t struck = plan().struck() - before;
  std::printf("%llu faults in %llu schedules\n", static_cast<unsigned long long>(struck),
              static_cast<unsigned long long>(schedules));
  EXPECT_GT(struck, schedules);
}

}  // namespace sio::test
