// SPDX-License-Identifier: BSD-2-Clause
//
// What a run measured, and the figures made of it.
#pragma once

#include <cstdint>
#include <vector>

namespace sio_perf {

// Either `round_trips`, or how many messages took how long.
struct Measured {
  std::vector<uint64_t> round_trips;  // ns
  uint64_t messages = 0;
  uint64_t elapsed_ns = 0;
};

// Latencies in µs: halves of round trips.
struct Latencies {
  double min = 0, p50 = 0, p90 = 0, p99 = 0, p999 = 0, max = 0, mean = 0;
};
Latencies latencies_of(std::vector<uint64_t> round_trips);

double messages_per_second(const Measured& measured);
double mib_per_second(const Measured& measured, uint32_t size);

}  // namespace sio_perf
