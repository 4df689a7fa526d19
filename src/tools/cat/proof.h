// SPDX-License-Identifier: BSD-2-Clause
//
// What --checksum adds (sio_cat(1), PROTOCOL): every message ends with a byte that says what it is.
#pragma once

#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace sio_cat {

enum class Kind : uint8_t {
  kHello = 'h',  // the first message
  kData = 'd',
  kEnd = 'e',    // no more data: what they were
  kRight = 'y',  // of whoever got the data: these were they, and all are written
  kWrong = 'n',
};

// What was sent or has come: how much, and its XXH128.
struct Proof {
  uint64_t bytes = 0;
  XXH128_hash_t hash{};

  bool operator==(const Proof& other) const;
  std::string text() const;  // "5 bytes, xxh128 ..." as xxh128sum(1) has it
};

class Checksum {
 public:
  Checksum();
  void add(std::span<const std::byte> data);
  Proof proof() const;

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
  uint64_t bytes_ = 0;
};

// Messages without data, with the last byte.
std::string hello();
std::string end_of(const Proof& proof);
std::string verdict(bool right);

// What kEnd says; `content` is without the last byte. False: it is malformed.
bool read_end(std::span<const std::byte> content, Proof& proof);

}  // namespace sio_cat
