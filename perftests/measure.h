// SPDX-License-Identifier: BSD-2-Clause
//
// A client's run, whatever is measured: warm-up, then what counts.
#pragma once

#include "options.h"
#include "pace.h"
#include "process.h"
#include "statistics.h"

namespace sio_perf {

// `exchange` sends a message and receives the answer.
template <typename Exchange>
Measured measure_round_trips(const Options& options, uint32_t size, Exchange exchange) {
  if (options.warmup > 0) {
    Pace pace = Pace::warm_up(options);
    for (uint64_t i = 1; exchange(), !pace.is_last(i); ++i) continue;
  }
  Measured measured;
  constexpr uint64_t kReserved = 1 << 20;
  measured.round_trips.reserve(options.iterations != 0 ? options.iterations : kReserved);
  Pace pace = Pace::measure(options, size);
  uint64_t before = now_ns();
  do {
    if (options.interval_us > 0) before = rest(options);
    exchange();
    const uint64_t now = now_ns();
    measured.round_trips.push_back(now - before);
    before = now;
  } while (!pace.is_last(measured.round_trips.size()));
  return measured;
}

// `stream` sends messages one way at a pace, and returns how many the server has confirmed.
template <typename Stream>
Measured measure_stream(const Options& options, uint32_t size, Stream stream) {
  if (options.warmup > 0) stream(Pace::warm_up(options));
  Measured measured;
  const uint64_t begin = now_ns();
  measured.messages = stream(Pace::measure(options, size));
  measured.elapsed_ns = now_ns() - begin;
  return measured;
}

}  // namespace sio_perf
