// SPDX-License-Identifier: BSD-2-Clause
//
// What a datagram has with it besides its payload. docs/protocol.md has the tables and worked
// bytes, and tests/unit/wire/datagram_test.cc encodes those very bytes.
//
// 32 bits of immediate data, most significant first:
//
//   31..16 port that it comes from   15..0 sequence number
//
// Behind the payload of one to a group: [port that it is for:2].
//
// Sequence numbers are counted from one sender to one destination: 0 is the first since the sender
// began or began anew, then 1 to 65535, and 1 again.
#pragma once

#include <arpa/inet.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/inet_address.h"

namespace sio::internal::wire {

struct DatagramTag {
  uint16_t port;
  uint16_t sequence;
};

// In the byte order of ibv_send_wr.imm_data and ibv_wc.imm_data.
inline uint32_t encode_tag(DatagramTag tag) noexcept {
  return htonl(uint32_t{tag.port} << 16 | tag.sequence);
}

inline DatagramTag decode_tag(uint32_t imm_data) noexcept {
  const uint32_t bits = ntohl(imm_data);
  return {static_cast<uint16_t>(bits >> 16), static_cast<uint16_t>(bits)};
}

constexpr uint16_t kFirstSequence = 0;

constexpr uint16_t next_sequence(uint16_t sequence) noexcept {
  return sequence == UINT16_MAX ? uint16_t{1} : static_cast<uint16_t>(sequence + 1);
}

// How far `sequence` is ahead of the expected one, neither of them the first: 0 to 65534. From
// kLate on it is behind.
constexpr uint32_t sequence_gap(uint16_t expected, uint16_t sequence) noexcept {
  return (sequence + uint32_t{UINT16_MAX} - expected) % UINT16_MAX;
}
constexpr uint32_t kLate = 32768;

constexpr uint32_t kGroupTrailer = 2;

inline void encode_trailer(uint16_t port, void* to) noexcept {
  const uint16_t bytes = htons(port);
  std::memcpy(to, &bytes, sizeof bytes);
}

inline uint16_t decode_trailer(const void* from) noexcept {
  uint16_t bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return ntohs(bytes);
}

// The addresses that a received datagram came from and was sent to, without ports. False: the
// bytes before it are no header of IP.
constexpr uint32_t kGrhBytes = 40;
bool decode_grh(const void* grh, InetAddress& from, InetAddress& to) noexcept;

}  // namespace sio::internal::wire
