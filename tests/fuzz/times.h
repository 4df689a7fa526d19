// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <array>
#include <chrono>

#include "input.h"

namespace sio::test {

// Lengths of time that make a difference: a burst's gap, a spin, the time limits.
inline std::chrono::nanoseconds some_time(Input& input) {
  using namespace std::chrono_literals;
  constexpr std::array<std::chrono::nanoseconds, 8> kTimes = {30us,  1ms,   3ms, 25ms,
                                                              250ms, 500ms, 1s,  2s};
  return kTimes[input.below(kTimes.size())];
}

}  // namespace sio::test
