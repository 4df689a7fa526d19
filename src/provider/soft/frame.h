// SPDX-License-Identifier: BSD-2-Clause
//
// What crosses a TCP connection of the soft provider: first a greeting each way (greeting.h), then
// frames. A frame is this header and `length` bytes of payload; docs/protocol.md has the table.
#pragma once

#include <arpa/inet.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sio::internal::provider::soft {

enum class Opcode : uint8_t {
  kReady = 1,           // the first frame of the end that connected
  kSend = 2,            // takes a receive
  kSendImmediate = 3,   // takes a receive
  kWrite = 4,           // of no bytes: asks for nothing but to be acknowledged
  kWriteImmediate = 5,  // of no bytes, takes a receive
  kAcknowledge = 6,     // only what the header says
  kRefuse = 7,          // the message after the last taken one was not taken: the queue pair fails
};

struct FrameHeader {
  static constexpr size_t kSize = 16;
  static constexpr uint8_t kSolicited = 1;
  static constexpr uint8_t kWantsAcknowledgement = 2;
  static constexpr uint8_t kSecond = 4;  // of and for the second queue pairs

  Opcode opcode{};
  uint8_t flags = 0;
  uint16_t status = 0;     // of kRefuse: what the refused request's ibv_wc.status is to be
  uint32_t length = 0;     // bytes of payload
  uint32_t immediate = 0;  // as in ibv_wc.imm_data: in network byte order, whatever it means
  uint32_t taken = 0;      // requests that the sender of this frame has taken, modulo 2^32
};

// Whether a request of this kind is counted and answered.
constexpr bool is_request(Opcode opcode) noexcept {
  return opcode >= Opcode::kSend && opcode <= Opcode::kWriteImmediate;
}
constexpr bool takes_receive(Opcode opcode) noexcept {
  return is_request(opcode) && opcode != Opcode::kWrite;
}
constexpr bool has_immediate(Opcode opcode) noexcept {
  return opcode == Opcode::kSendImmediate || opcode == Opcode::kWriteImmediate;
}

inline void encode(const FrameHeader& header, char* to) noexcept {
  const uint16_t status = htons(header.status);
  const uint32_t length = htonl(header.length);
  const uint32_t taken = htonl(header.taken);
  to[0] = static_cast<char>(header.opcode);
  to[1] = static_cast<char>(header.flags);
  std::memcpy(to + 2, &status, 2);
  std::memcpy(to + 4, &length, 4);
  std::memcpy(to + 8, &header.immediate, 4);
  std::memcpy(to + 12, &taken, 4);
}

// False: not a frame.
inline bool decode(const char* from, FrameHeader& header) noexcept {
  uint16_t status;
  uint32_t length;
  uint32_t taken;
  header.opcode = static_cast<Opcode>(from[0]);
  header.flags = static_cast<uint8_t>(from[1]);
  std::memcpy(&status, from + 2, 2);
  std::memcpy(&length, from + 4, 4);
  std::memcpy(&header.immediate, from + 8, 4);
  std::memcpy(&taken, from + 12, 4);
  header.status = ntohs(status);
  header.length = ntohl(length);
  header.taken = ntohl(taken);
  constexpr uint8_t kFlags =
      FrameHeader::kSolicited | FrameHeader::kWantsAcknowledgement | FrameHeader::kSecond;
  if (header.opcode < Opcode::kReady || header.opcode > Opcode::kRefuse) return false;
  if ((header.flags & ~kFlags) != 0 || (header.status != 0) != (header.opcode == Opcode::kRefuse)) {
    return false;
  }
  if ((header.flags & FrameHeader::kSecond) != 0 && !is_request(header.opcode)) return false;
  const bool message = header.opcode == Opcode::kSend || header.opcode == Opcode::kSendImmediate;
  return message || header.length == 0;
}

}  // namespace sio::internal::provider::soft
