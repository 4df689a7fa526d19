// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdint>
#include <random>

namespace sio::internal::test {

// Seeded, and the same everywhere.
class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}

  uint32_t next() { return static_cast<uint32_t>(engine_()); }
  // 0 to n-1.
  uint32_t below(size_t n) { return static_cast<uint32_t>(engine_() % n); }
  // Once in n times.
  bool one_in(uint32_t n) { return below(n) == 0; }

 private:
  std::mt19937 engine_;
};

}  // namespace sio::internal::test
