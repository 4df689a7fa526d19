// SPDX-License-Identifier: BSD-2-Clause
//
// Frames: what one SEND carries. docs/protocol.md has the tables and worked bytes, and
// tests/unit/wire/frame_test.cc encodes those very bytes.
//
// Every SEND has 32 bits of immediate data, most significant first:
//
//   31..28 kind   27..16 zero   15..0 credits: receives that the sender of this frame posted anew
//
// The payload of kMessage is one message, without a header. That of kTrain is two or more
// records, each [length:4][zero:4][payload][zeros up to a multiple of 8, and at least 8]: so each
// message has an address within the payload, an empty one at the end too.
#pragma once

#include <arpa/inet.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sio::internal::wire {

enum class Kind : uint8_t {
  kMessage = 1,  // one message
  kTrain = 2,    // several messages
  kCredit = 3,   // no payload: returns credits
  kEnd = 4,      // no payload: the sender of this frame sends no further messages
};

struct Immediate {
  Kind kind;
  uint16_t credits;
};

inline constexpr uint32_t kMaxCredits = 0xffff;

// In the byte order of ibv_send_wr.imm_data and ibv_wc.imm_data.
inline uint32_t encode_immediate(Immediate imm) noexcept {
  return htonl(static_cast<uint32_t>(imm.kind) << 28 | imm.credits);
}

// False: not a frame of this version.
inline bool decode_immediate(uint32_t imm_data, Immediate& imm) noexcept {
  const uint32_t bits = ntohl(imm_data);
  if ((bits & 0x0fff0000u) != 0) return false;
  const uint32_t kind = bits >> 28;
  if (kind < static_cast<uint32_t>(Kind::kMessage) || kind > static_cast<uint32_t>(Kind::kEnd)) {
    return false;
  }
  imm = {static_cast<Kind>(kind), static_cast<uint16_t>(bits & 0xffffu)};
  return true;
}

inline constexpr uint32_t kRecordHeader = 8;
inline constexpr uint32_t kRecordAlign = 8;

// Bytes that a message of `length` takes up in a train.
constexpr uint32_t record_size(uint32_t length) noexcept {
  const uint32_t padded = (length + kRecordAlign - 1) & ~(kRecordAlign - 1);
  return kRecordHeader + (length == 0 ? kRecordAlign : padded);
}

inline void encode_record_header(char* at, uint32_t length) noexcept {
  const uint32_t words[2] = {htonl(length), 0};
  std::memcpy(at, words, sizeof words);
}

// Steps through the records of a train. The bytes are the peer's and may change under our feet
// once the program has been given a part of them, so each step checks all it relies on.
class TrainReader {
 public:
  TrainReader() noexcept = default;
  TrainReader(const char* data, uint32_t size) noexcept : data_(data), size_(size) {}

  bool at_end() const noexcept { return at_ == size_; }

  // The next record: where its payload begins and how long it is. False: malformed.
  bool next(uint32_t& offset, uint32_t& length) noexcept {
    if (size_ - at_ < kRecordHeader) return false;
    uint32_t words[2];
    std::memcpy(words, data_ + at_, sizeof words);
    const uint32_t len = ntohl(words[0]);
    if (words[1] != 0 || len > size_ - at_ - kRecordHeader) return false;
    const uint32_t whole = record_size(len);  // no overflow: len is below size_
    if (whole > size_ - at_) return false;
    offset = at_ + kRecordHeader;
    length = len;
    at_ += whole;
    return true;
  }

 private:
  const char* data_ = nullptr;
  uint32_t size_ = 0;
  uint32_t at_ = 0;
};

// How many messages a received train holds; 0 if it is malformed.
inline uint32_t count_records(const char* data, uint32_t size) noexcept {
  TrainReader reader(data, size);
  uint32_t count = 0;
  uint32_t offset;
  uint32_t length;
  while (!reader.at_end()) {
    if (!reader.next(offset, length)) return 0;
    ++count;
  }
  return count;
}

}  // namespace sio::internal::wire
