// SPDX-License-Identifier: BSD-2-Clause
#include "statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sio_perf {
namespace {

constexpr double kHalfInMicroseconds = 0.5e-3;  // of a round trip in ns

// The smallest sample that so large a part of all does not exceed: always one that occurred.
double percentile(const std::vector<uint64_t>& sorted, double part) {
  const auto count = static_cast<double>(sorted.size());
  const auto rank = static_cast<size_t>(std::max(1.0, std::ceil(part * count)));
  return static_cast<double>(sorted[std::min(rank, sorted.size()) - 1]) * kHalfInMicroseconds;
}

}  // namespace

Latencies latencies_of(std::vector<uint64_t> round_trips) {
  if (round_trips.empty()) return {};
  std::sort(round_trips.begin(), round_trips.end());
  const auto sum = std::accumulate(round_trips.begin(), round_trips.end(), uint64_t{0});
  Latencies latencies;
  latencies.min = percentile(round_trips, 0);
  latencies.p50 = percentile(round_trips, 0.5);
  latencies.p90 = percentile(round_trips, 0.9);
  latencies.p99 = percentile(round_trips, 0.99);
  latencies.p999 = percentile(round_trips, 0.999);
  latencies.max = percentile(round_trips, 1);
  latencies.mean =
      static_cast<double>(sum) / static_cast<double>(round_trips.size()) * kHalfInMicroseconds;
  return latencies;
}

double messages_per_second(const Measured& measured) {
  if (measured.elapsed_ns == 0) return 0;
  return static_cast<double>(measured.messages) * 1e9 / static_cast<double>(measured.elapsed_ns);
}

double mib_per_second(const Measured& measured, uint32_t size) {
  return messages_per_second(measured) * size / (1024.0 * 1024.0);
}

}  // namespace sio_perf
