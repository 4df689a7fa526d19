// SPDX-License-Identifier: BSD-2-Clause
//
// Frames: what one SEND carries. docs/protocol.md has the tables and worked bytes, and
// tests/unit/wire/frame_test.cc encodes those very bytes.
//
// Every SEND has 32 bits of immediate data, most significant first:
//
//   31..28 kind   27..16 grants   15..13 control   12..0 credits
//   credits: receives that the sender of this frame posted anew, for data; in a kRefund instead
//            credits for data that it gives back
//   control: the same, that control frames had used up
//   grants: announced messages, in their order, that it has posted receives for on the bulk lane
//
// The payload of kMessage is one message, without a header. That of kTrain is records:
//
//   [length:4][zero:4][payload][zeros up to a multiple of 8, and at least 8]   a message: so each
//       has an address within the payload, an empty one at the end too
//   [length:4][one:4]   an announcement: the next message has that many bytes and comes on the
//       bulk lane
//
// That of kLane is [queue pair number:4][first packet sequence number:4] of the bulk lane.
#pragma once

#include <arpa/inet.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace sio::internal::wire {

enum class Kind : uint8_t {
  kMessage = 1,  // one message
  kTrain = 2,    // messages and announcements
  kCredit = 3,   // no payload: returns credits
  kEnd = 4,      // no payload: the sender of this frame sends no further messages
  kLane = 5,     // where the sender's end of the bulk lane is
  kRecall = 6,   // no payload: asks for credits back that are not used
  kRefund = 7,   // no payload: gives them back
};

struct Immediate {
  Kind kind;
  uint16_t credits;
  uint16_t grants = 0;
  uint16_t control = 0;
  uint16_t refund = 0;  // of a kRefund, which has no credits
};

inline constexpr uint32_t kMaxCredits = 0x1fff;
inline constexpr uint32_t kMaxControl = 7;
inline constexpr uint32_t kMaxGrants = 0xfff;

// In the byte order of ibv_send_wr.imm_data and ibv_wc.imm_data.
inline uint32_t encode_immediate(Immediate imm) noexcept {
  return htonl(static_cast<uint32_t>(imm.kind) << 28 | uint32_t{imm.grants} << 16 |
               uint32_t{imm.control} << 13 | imm.credits | imm.refund);
}

// False: not a frame of this version.
inline bool decode_immediate(uint32_t imm_data, Immediate& imm) noexcept {
  const uint32_t bits = ntohl(imm_data);
  const uint32_t kind = bits >> 28;
  if (kind < static_cast<uint32_t>(Kind::kMessage) || kind > static_cast<uint32_t>(Kind::kRefund)) {
    return false;
  }
  imm = {static_cast<Kind>(kind), static_cast<uint16_t>(bits & kMaxCredits),
         static_cast<uint16_t>(bits >> 16 & kMaxGrants),
         static_cast<uint16_t>(bits >> 13 & kMaxControl)};
  if (imm.kind == Kind::kRefund) std::swap(imm.credits, imm.refund);
  return true;
}

// One message and nothing else, as most frames are.
inline bool is_bare_message(uint32_t imm_data) noexcept {
  return imm_data == encode_immediate({Kind::kMessage, 0});
}

// The same of one message without grants. False: another frame.
inline bool decode_message(uint32_t imm_data, uint32_t& credits, uint32_t& control) noexcept {
  const uint32_t bits = ntohl(imm_data);
  credits = bits & kMaxCredits;
  control = bits >> 13 & kMaxControl;
  return bits >> 16 == static_cast<uint32_t>(Kind::kMessage) << 12;
}

inline constexpr uint32_t kRecordHeader = 8;
inline constexpr uint32_t kRecordAlign = 8;

// Bytes that a message of `length` takes up in a train.
constexpr uint32_t record_size(uint32_t length) noexcept {
  const uint32_t padded = (length + kRecordAlign - 1) & ~(kRecordAlign - 1);
  return kRecordHeader + (length == 0 ? kRecordAlign : padded);
}

inline void encode_record_header(char* at, uint32_t length, bool announced = false) noexcept {
  const uint32_t words[2] = {htonl(length), htonl(announced ? 1 : 0)};
  std::memcpy(at, words, sizeof words);
}

// A message of a train, or the announcement of one: then there is nothing at its offset.
struct Record {
  uint32_t offset;
  uint32_t length;
  bool announced;
};

// Steps through the records of a train. The bytes are the peer's and may change under our feet
// once the program has been given a part of them, so each step checks all it relies on.
class TrainReader {
 public:
  TrainReader() noexcept = default;
  TrainReader(const char* data, uint32_t size) noexcept : data_(data), size_(size) {}

  bool at_end() const noexcept { return at_ == size_; }

  // False: malformed.
  bool next(Record& record) noexcept {
    if (size_ - at_ < kRecordHeader) return false;
    uint32_t words[2];
    std::memcpy(words, data_ + at_, sizeof words);
    const uint32_t length = ntohl(words[0]);
    const uint32_t flags = ntohl(words[1]);
    record = {at_ + kRecordHeader, length, flags == 1};
    if (flags > 1) return false;
    if (flags == 1) {
      at_ += kRecordHeader;
      return true;
    }
    if (length > size_ - at_ - kRecordHeader) return false;
    const uint32_t whole = record_size(length);  // no overflow: it is below size_
    if (whole > size_ - at_) return false;
    at_ += whole;
    return true;
  }

 private:
  const char* data_ = nullptr;
  uint32_t size_ = 0;
  uint32_t at_ = 0;
};

// Goes through a train that has come: announced(length) is told of each announcement and says
// whether the peer may make it. False: it may not, or the train is malformed.
template <typename Announced>
bool check_train(const char* data, uint32_t size, Announced announced) noexcept {
  TrainReader reader(data, size);
  Record record;
  do {
    if (!reader.next(record)) return false;
    if (record.announced && !announced(record.length)) return false;
  } while (!reader.at_end());
  return true;
}

// Where an end of the bulk lane is: queue pair number and sequence number have 24 bits each.
struct LaneAddress {
  uint32_t number;
  uint32_t sequence;
};
inline constexpr uint32_t kLaneAddressSize = 8;
inline constexpr uint32_t kMax24 = 0xffffff;

inline void encode_lane_address(const LaneAddress& address, char* to) noexcept {
  const uint32_t words[2] = {htonl(address.number), htonl(address.sequence)};
  std::memcpy(to, words, sizeof words);
}

inline bool decode_lane_address(const char* from, uint32_t size, LaneAddress& address) noexcept {
  if (size != kLaneAddressSize) return false;
  uint32_t words[2];
  std::memcpy(words, from, sizeof words);
  address = {ntohl(words[0]), ntohl(words[1])};
  return address.number <= kMax24 && address.sequence <= kMax24;
}

// On the bulk lane a message goes as SENDs of this many bytes, and a last one with the rest: within
// what every device takes in one.
inline constexpr uint32_t kBulkPiece = 1u << 20;
// Announced messages that are not granted yet.
inline constexpr uint32_t kMaxAnnounced = 64;
inline constexpr uint64_t kMaxMessage = uint64_t{1} << 30;

}  // namespace sio::internal::wire
