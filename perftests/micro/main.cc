// SPDX-License-Identifier: BSD-2-Clause
//
// sio_micro: single operations of the library. As a Google Benchmark program it measures their
// time; with --count, under callgrind, each leaves a dump of what Loop::kCounted of them have
// executed (perftests/instructions).
#include <cstdlib>
#include <cstring>
#include <string>

#include "loop.h"

namespace {

using sio::micro::Loop;
using sio::micro::Operation;

template <typename Use>
void for_each_operation(Use use) {
  for (const auto operations : {sio::micro::ring_operations(), sio::micro::memory_operations(),
                                sio::micro::frame_operations(), sio::micro::channel_operations()}) {
    for (const Operation& operation : operations) use(operation);
  }
}

void count() {
  for_each_operation([](const Operation& operation) {
    Loop loop(operation.name);
    operation.run(loop);
  });
}

int measure(int argc, char** argv) {
  for_each_operation([](const Operation& operation) {
    benchmark::RegisterBenchmark(operation.name, [&operation](benchmark::State& state) {
      Loop loop(state);
      operation.run(loop);
    });
  });
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  setenv("SIO_PROVIDER", "soft", 1);  // areas need some device
  if (argc != 2 || std::strcmp(argv[1], "--count") != 0) return measure(argc, argv);
  count();
  return 0;
}
