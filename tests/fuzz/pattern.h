// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

namespace sio::test {

// Bytes of which each says where it is, and whose they are.
inline void fill(void* to, size_t size, uint8_t seed) {
  constexpr size_t kPeriod = 251;
  auto* const at = static_cast<uint8_t*>(to);
  for (size_t i = 0; i < std::min(size, kPeriod); ++i) at[i] = static_cast<uint8_t>(seed + i);
  for (size_t done = kPeriod; done < size; done *= 2) {
    std::memcpy(at + done, at, std::min(done, size - done));
  }
}

inline std::string pattern(size_t size, uint8_t seed) {
  std::string bytes(size, '\0');
  fill(bytes.data(), size, seed);
  return bytes;
}

}  // namespace sio::test
