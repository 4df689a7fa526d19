// SPDX-License-Identifier: BSD-2-Clause
#include "wire/frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace sio::internal::wire {
namespace {

std::vector<unsigned char> bytes_of(uint32_t imm_data) {
  std::vector<unsigned char> bytes(sizeof imm_data);
  std::memcpy(bytes.data(), &imm_data, sizeof imm_data);
  return bytes;
}

void append_record(std::string& train, const std::string& message) {
  char header[kRecordHeader];
  encode_record_header(header, static_cast<uint32_t>(message.size()));
  const size_t begin = train.size();
  train.append(header, sizeof header).append(message);
  train.resize(begin + record_size(static_cast<uint32_t>(message.size())));
}

std::string train_of(const std::vector<std::string>& messages) {
  std::string train;
  for (const std::string& message : messages) append_record(train, message);
  return train;
}

void append_announcement(std::string& train, uint32_t length) {
  char header[kRecordHeader];
  encode_record_header(header, length, true);
  train.append(header, sizeof header);
}

// Its messages; 0: it is refused.
uint32_t count(const std::string& train) {
  const auto size = static_cast<uint32_t>(train.size());
  if (!check_train(train.data(), size, [](uint32_t) { return true; })) return 0;
  TrainReader reader(train.data(), size);
  uint32_t messages = 0;
  for (Record record; !reader.at_end() && reader.next(record);) messages += !record.announced;
  return messages;
}

// docs/protocol.md, Frames.
TEST(Immediate, HasTheBytesOfTheProtocolPage) {
  EXPECT_EQ(bytes_of(encode_immediate({Kind::kMessage, 5})),
            (std::vector<unsigned char>{0x10, 0, 0, 5}));
  EXPECT_EQ(bytes_of(encode_immediate({Kind::kTrain, 0})),
            (std::vector<unsigned char>{0x20, 0, 0, 0}));
  EXPECT_EQ(bytes_of(encode_immediate({Kind::kCredit, 2, 3, 1})),
            (std::vector<unsigned char>{0x30, 3, 0x20, 2}));
  EXPECT_EQ(bytes_of(encode_immediate({Kind::kRecall, 0})),
            (std::vector<unsigned char>{0x60, 0, 0, 0}));
  EXPECT_EQ(bytes_of(encode_immediate({Kind::kRefund, 0, 0, 1, 61})),
            (std::vector<unsigned char>{0x70, 0, 0x20, 0x3d}));
}

TEST(Immediate, OfARefundHasNoCredits) {
  Immediate imm{};
  ASSERT_TRUE(decode_immediate(encode_immediate({Kind::kRefund, 0, 5, 2, kMaxCredits}), imm));
  EXPECT_EQ(imm.kind, Kind::kRefund);
  EXPECT_EQ(imm.credits, 0u);
  EXPECT_EQ(imm.refund, kMaxCredits);
  EXPECT_EQ(imm.grants, 5u);
  EXPECT_EQ(imm.control, 2u);
}

TEST(Immediate, ComesBackAsItWas) {
  for (const Kind kind :
       {Kind::kMessage, Kind::kTrain, Kind::kCredit, Kind::kEnd, Kind::kLane, Kind::kRecall}) {
    for (const uint32_t credits : {0u, 1u, 4096u, kMaxCredits}) {
      for (const uint32_t grants : {0u, 1u, kMaxGrants}) {
        for (const uint32_t control : {0u, 4u, kMaxControl}) {
          const Immediate sent{kind, static_cast<uint16_t>(credits), static_cast<uint16_t>(grants),
                               static_cast<uint16_t>(control)};
          Immediate imm{};
          ASSERT_TRUE(decode_immediate(encode_immediate(sent), imm));
          EXPECT_EQ(imm.kind, kind);
          EXPECT_EQ(imm.credits, credits);
          EXPECT_EQ(imm.grants, grants);
          EXPECT_EQ(imm.control, control);
          uint32_t gave;
          uint32_t gave_control;
          const bool message = decode_message(encode_immediate(sent), gave, gave_control);
          ASSERT_EQ(message, kind == Kind::kMessage && grants == 0);
          EXPECT_EQ(gave, credits);
          EXPECT_EQ(gave_control, control);
        }
      }
    }
  }
}

TEST(Immediate, IsRefusedWithAnUnknownKind) {
  Immediate imm{};
  for (const uint32_t kind : {0u, 8u, 9u, 15u}) {
    EXPECT_FALSE(decode_immediate(htonl(kind << 28), imm)) << kind;
  }
}

// docs/protocol.md, Frames.
TEST(Train, HasTheBytesOfTheProtocolPage) {
  const unsigned char page[] = {0, 0, 0, 2, 0, 0, 0, 0, 'h', 'i', 0,   0,   0,   0,   0,   0,
                                0, 0, 0, 0, 0, 0, 0, 0, 0,   0,   0,   0,   0,   0,   0,   0,
                                0, 0, 0, 7, 0, 0, 0, 0, 'l', 'i', 'b', 's', 'i', 'o', '!', 0};
  const std::string train = train_of({"hi", "", "libsio!"});
  ASSERT_EQ(train.size(), sizeof page);
  EXPECT_EQ(std::memcmp(train.data(), page, sizeof page), 0);
}

TEST(Train, GivesItsMessagesInOrder) {
  const std::vector<std::string> messages{"a", "", "12345678", std::string(1000, 'x'), ""};
  const std::string train = train_of(messages);
  EXPECT_EQ(count(train), messages.size());
  TrainReader reader(train.data(), static_cast<uint32_t>(train.size()));
  for (const std::string& message : messages) {
    Record record{};
    ASSERT_TRUE(reader.next(record));
    EXPECT_FALSE(record.announced);
    EXPECT_EQ(record.offset % kRecordAlign, 0u);
    EXPECT_LT(record.offset, train.size());  // an empty one has an address of its own too
    EXPECT_EQ(train.substr(record.offset, record.length), message);
  }
  EXPECT_TRUE(reader.at_end());
}

TEST(Train, IsRefusedWhenCutAnywhere) {
  const std::string train = train_of({"one", "two", "three"});
  const size_t whole[] = {16, 32, 48};  // records end here
  for (size_t size = 1; size < train.size(); ++size) {
    if (std::find(std::begin(whole), std::end(whole), size) != std::end(whole)) continue;
    EXPECT_EQ(count(train.substr(0, size)), 0u) << size;
  }
}

TEST(Train, IsRefusedWithALengthBeyondItsEnd) {
  for (const uint32_t length : {9u, 16u, 0x7fffffffu, 0x80000000u, 0xfffffff8u, 0xffffffffu}) {
    std::string train = train_of({"12345678", "2"});
    encode_record_header(train.data() + 16, length);
    EXPECT_EQ(count(train), 0u) << length;
  }
}

TEST(Train, IsRefusedWithASecondWordOfAnotherKind) {
  std::string train = train_of({"one", "two"});
  for (size_t at = 4; at < 8; ++at) {
    std::string bad = train;
    bad[at] = 2;
    EXPECT_EQ(count(bad), 0u) << at;
  }
}

TEST(Train, OfNothingIsRefused) { EXPECT_EQ(count(""), 0u); }

// docs/protocol.md, Large messages.
TEST(Train, AnnouncesWithTheBytesOfTheProtocolPage) {
  const unsigned char page[] = {0, 0, 0, 2, 0, 0, 0, 0, 'h', 'i', 0, 0,
                                0, 0, 0, 0, 0, 1, 0, 0, 0,   0,   0, 1};
  std::string train = train_of({"hi"});
  append_announcement(train, 65'536);
  ASSERT_EQ(train.size(), sizeof page);
  EXPECT_EQ(std::memcmp(train.data(), page, sizeof page), 0);
}

TEST(Train, TellsOfAnnouncementsInTheirOrderAndMayBeRefusedForThem) {
  std::string train;
  append_announcement(train, 10'000);
  append_record(train, "small");
  append_announcement(train, 0xffffffff);
  const auto size = static_cast<uint32_t>(train.size());
  std::vector<uint32_t> told;
  EXPECT_TRUE(check_train(train.data(), size, [&](uint32_t length) {
    told.push_back(length);
    return true;
  }));
  EXPECT_EQ(told, (std::vector<uint32_t>{10'000, 0xffffffff}));
  EXPECT_FALSE(
      check_train(train.data(), size, [](uint32_t length) { return length < 0xffffffff; }));
}

// docs/protocol.md, Large messages.
TEST(LaneAddress, HasTheBytesOfTheProtocolPage) {
  const unsigned char page[kLaneAddressSize] = {0, 0, 0, 0x11, 0, 0xab, 0xcd, 0xef};
  char bytes[kLaneAddressSize];
  encode_lane_address({17, 0xabcdef}, bytes);
  EXPECT_EQ(std::memcmp(bytes, page, sizeof page), 0);
  LaneAddress address{};
  ASSERT_TRUE(decode_lane_address(bytes, kLaneAddressSize, address));
  EXPECT_EQ(address.number, 17u);
  EXPECT_EQ(address.sequence, 0xabcdefu);
}

TEST(LaneAddress, IsRefusedWithAnotherLengthOrMoreThan24Bits) {
  char bytes[kLaneAddressSize + 1] = {};
  LaneAddress address{};
  for (const uint32_t size : {0u, 7u, 9u}) {
    EXPECT_FALSE(decode_lane_address(bytes, size, address)) << size;
  }
  for (const LaneAddress bad : {LaneAddress{0x1000000, 0}, LaneAddress{0, 0x1000000}}) {
    encode_lane_address(bad, bytes);
    EXPECT_FALSE(decode_lane_address(bytes, kLaneAddressSize, address));
  }
}

TEST(RecordSize, IsAMultipleOfTheAlignmentAndHoldsTheMessage) {
  for (uint32_t length = 0; length < 300; ++length) {
    EXPECT_EQ(record_size(length) % kRecordAlign, 0u);
    EXPECT_GE(record_size(length), kRecordHeader + length);
    EXPECT_LE(record_size(length), kRecordHeader + length + kRecordAlign);
    EXPECT_GT(record_size(length), kRecordHeader);
  }
}

}  // namespace
}  // namespace sio::internal::wire
