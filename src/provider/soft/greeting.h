// SPDX-License-Identifier: BSD-2-Clause
//
// How a TCP connection of the soft provider begins: the end that connects sends a request, the
// other an answer, each of kSize bytes and then private data, which are opaque here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sio::internal::provider::soft {

struct Greeting {
  enum class Kind : uint8_t { kRequest = 1, kAccept = 2, kReject = 3 };

  static constexpr size_t kSize = 16;
  static constexpr size_t kMostData = 196;  // bytes, as the InfiniBand CM has for an answer

  Kind kind{};
  uint32_t queue_pair = 0;  // the sender's number
  uint8_t data_size = 0;    // bytes of private data that follow
};

// The whole of it.
std::vector<char> encode_greeting(const Greeting& greeting, std::span<const std::byte> data);

// From kSize bytes. False: not one of ours.
bool decode_greeting(const char* from, Greeting& greeting) noexcept;

}  // namespace sio::internal::provider::soft
