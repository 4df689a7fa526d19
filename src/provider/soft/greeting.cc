// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/greeting.h"

#include <arpa/inet.h>

#include <cstring>

namespace sio::internal::provider::soft {
namespace {

// "sioS", the version, the kind, the size of the private data, zero, the queue pair, zero.
constexpr char kGreetingMagic[4] = {'s', 'i', 'o', 'S'};
constexpr char kVersion = 1;

}  // namespace

std::vector<char> encode_greeting(const Greeting& greeting, std::span<const std::byte> data) {
  std::vector<char> bytes(Greeting::kSize + data.size());
  std::memcpy(bytes.data(), kGreetingMagic, sizeof kGreetingMagic);
  bytes[4] = kVersion;
  bytes[5] = static_cast<char>(greeting.kind);
  bytes[6] = static_cast<char>(data.size());
  const uint32_t number = htonl(greeting.queue_pair);
  std::memcpy(bytes.data() + 8, &number, sizeof number);
  if (!data.empty()) std::memcpy(bytes.data() + Greeting::kSize, data.data(), data.size());
  return bytes;
}

bool decode_greeting(const char* from, Greeting& greeting) noexcept {
  uint32_t number;
  uint32_t zero;
  std::memcpy(&number, from + 8, sizeof number);
  std::memcpy(&zero, from + 12, sizeof zero);
  greeting.kind = static_cast<Greeting::Kind>(from[5]);
  greeting.data_size = static_cast<uint8_t>(from[6]);
  greeting.queue_pair = ntohl(number);
  return std::memcmp(from, kGreetingMagic, sizeof kGreetingMagic) == 0 && from[4] == kVersion &&
         from[7] == 0 && zero == 0 && greeting.kind >= Greeting::Kind::kRequest &&
         greeting.kind <= Greeting::Kind::kReject && greeting.data_size <= Greeting::kMostData;
}

}  // namespace sio::internal::provider::soft
