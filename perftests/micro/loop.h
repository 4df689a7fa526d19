// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <benchmark/benchmark.h>
#include <valgrind/callgrind.h>

#include <span>
#include <string>

namespace sio::micro {

// Runs what is measured: for Google Benchmark as often as that asks for, or, to count instructions
// under callgrind, so many times or a few more between two dumps.
class Loop {
 public:
  static constexpr int kCounted = 1000;

  explicit Loop(benchmark::State& state) noexcept : state_(&state) {}
  explicit Loop(const char* name) noexcept : name_(name) {}

  // refill() comes before each `batch` runs of body(), and counts for nothing.
  template <typename Refill, typename Body>
  void run_in_batches(int batch, Refill refill, Body body) {
    if (state_ == nullptr) return count(batch, refill, body);
    int left = 0;
    for (auto _ : *state_) {
      if (left == 0) {
        state_->PauseTiming();
        refill();
        left = batch;
        state_->ResumeTiming();
      }
      body();
      --left;
    }
  }

  template <typename Body>
  void run(Body body) {
    if (state_ == nullptr)
      return count(
          kCounted, [] {}, body);
    for (auto _ : *state_) body();
  }

 private:
  template <typename Refill, typename Body>
  void count(int batch, Refill refill, Body body) {
    int counted = -1;  // not what is done once
    while (counted < kCounted) {
      refill();
      if (counted < 0) body();
      const int left = counted < 0 ? batch - 1 : batch;
      CALLGRIND_START_INSTRUMENTATION;
      for (int i = 0; i < left; ++i) body();
      CALLGRIND_STOP_INSTRUMENTATION;
      counted += counted < 0 ? batch : left;
    }
    const std::string what = std::string(name_) + ' ' + std::to_string(counted);
    CALLGRIND_DUMP_STATS_AT(what.c_str());
  }

  benchmark::State* state_ = nullptr;
  const char* name_ = nullptr;
};

struct Operation {
  const char* name;
  void (*run)(Loop& loop);
};

std::span<const Operation> ring_operations();
std::span<const Operation> memory_operations();
std::span<const Operation> frame_operations();
std::span<const Operation> channel_operations();

}  // namespace sio::micro
