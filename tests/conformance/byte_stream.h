// SPDX-License-Identifier: BSD-2-Clause
//
// Streams of bytes that both ends can compute, so that whoever receives checks every byte.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "conformance/support.h"
#include "conformance/traffic.h"

namespace sio::test {

class ByteStream {
 public:
  explicit ByteStream(unsigned seed) {
    Random random(seed);
    table_.resize(kPeriod);
    for (auto& byte : table_) byte = static_cast<std::byte>(random.next());
  }

  // The next bytes of it, to be sent.
  void put(std::span<std::byte> to) {
    run(to.size(),
        [&](size_t at, const std::byte* from, size_t n) { std::memcpy(to.data() + at, from, n); });
  }
  // They have come: throws if they are not the next ones.
  void check(std::span<const std::byte> came) {
    run(came.size(), [&](size_t at, const std::byte* expected, size_t n) {
      if (std::memcmp(came.data() + at, expected, n) != 0) {
        fail("the stream is another one from byte %llu on",
             static_cast<unsigned long long>(position_));
      }
    });
  }
  uint64_t position() const { return position_; }

 private:
  static constexpr size_t kPeriod = 65521;  // a prime: no slot is like another

  template <typename Use>
  void run(size_t size, Use use) {
    for (size_t at = 0; at < size;) {
      const size_t in_table = position_ % kPeriod;
      const size_t n = std::min(size - at, kPeriod - in_table);
      use(at, table_.data() + in_table, n);
      at += n;
      position_ += n;
    }
  }

  std::vector<std::byte> table_;
  uint64_t position_ = 0;
};

}  // namespace sio::test
