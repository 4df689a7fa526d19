// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace sio::test {

// The fuzzer's bytes, taken one after the other; behind the end there are zeros.
class Input {
 public:
  Input(const uint8_t* bytes, size_t size) : at_(bytes), end_(bytes + size) {}

  bool empty() const { return at_ == end_; }
  uint8_t byte() { return empty() ? 0 : *at_++; }
  uint32_t below(uint32_t n) { return byte() % n; }
  uint16_t word() {
    const uint8_t high = byte();
    return static_cast<uint16_t>(high << 8 | byte());
  }
  // One byte says how many.
  std::string bytes() {
    const size_t n = byte();
    const size_t there = std::min(n, static_cast<size_t>(end_ - at_));
    std::string taken(reinterpret_cast<const char*>(at_), there);
    at_ += there;
    return taken;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace sio::test
