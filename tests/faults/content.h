// SPDX-License-Identifier: BSD-2-Clause
//
// What one end of a schedule sends, such that the other sees whether anything is missing: messages
// that begin with their number, or bytes that follow from their place in the stream.
#pragma once

#include <cstdint>
#include <cstring>

namespace sio::test {

class Content {
 public:
  static constexpr size_t kLeast = 8;  // bytes of a message

  explicit Content(bool stream) : stream_(stream) {}

  // Fills in the next, which counts once it was accepted.
  void put(void* to, size_t size) {
    pending_ = size;
    if (!stream_) {
      std::memcpy(to, &sent_, kLeast);
      return;
    }
    for (size_t i = 0; i < size; ++i) static_cast<unsigned char*>(to)[i] = byte(sent_ + i);
  }
  void accepted() { sent_ += stream_ ? pending_ : 1; }

  // It has come, and is the next.
  bool check(const void* data, size_t size) {
    if (!stream_) {
      uint64_t number = UINT64_MAX;
      if (size >= kLeast) std::memcpy(&number, data, kLeast);
      return number == received_++;
    }
    for (size_t i = 0; i < size; ++i) {
      if (static_cast<const unsigned char*>(data)[i] != byte(received_++)) return false;
    }
    return true;
  }

 private:
  static unsigned char byte(uint64_t place) {
    return static_cast<unsigned char>(place * 31 + (place >> 8));
  }

  const bool stream_;
  size_t pending_ = 0;
  uint64_t sent_ = 0;  // messages, or bytes
  uint64_t received_ = 0;
};

}  // namespace sio::test
