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

uint32_t count(const std::string& train) {
  return count_records(train.data(), static_cast<uint32_t>(train.size()));
}

// docs/protocol.md, Frames.
TEST(Immediate, HasTheBytesOfTheProtocolPage) {
  EXPECT_EQ(bytes_of(encode_immediate({Kind::kMessage, 5})),
            (std::vector<unsigned char>{0x10, 0, 0, 5}));
  EXPECT_EQ(bytes_of(encode_immediate({Kind::kTrain, 0})),
            (std::vector<unsigned char>{0x20, 0, 0, 0}));
}

TEST(Immediate, ComesBackAsItWas) {
  for (const Kind kind : {Kind::kMessage, Kind::kTrain, Kind::kCredit, Kind::kEnd}) {
    for (const uint32_t credits : {0u, 1u, 4100u, kMaxCredits}) {
      Immediate imm{};
      ASSERT_TRUE(decode_immediate(encode_immediate({kind, static_cast<uint16_t>(credits)}), imm));
      EXPECT_EQ(imm.kind, kind);
      EXPECT_EQ(imm.credits, credits);
    }
  }
}

TEST(Immediate, IsRefusedWithAnUnknownKind) {
  Immediate imm{};
  for (const uint32_t kind : {0u, 5u, 9u, 15u}) {
    EXPECT_FALSE(decode_immediate(htonl(kind << 28), imm)) << kind;
  }
}

TEST(Immediate, IsRefusedWithAnyReservedBit) {
  Immediate imm{};
  for (int bit = 16; bit < 28; ++bit) {
    EXPECT_FALSE(decode_immediate(htonl(0x10000000u | 1u << bit), imm)) << bit;
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
    uint32_t offset = 0;
    uint32_t length = 0;
    ASSERT_TRUE(reader.next(offset, length));
    EXPECT_EQ(offset % kRecordAlign, 0u);
    EXPECT_LT(offset, train.size());  // an empty one has an address of its own too
    EXPECT_EQ(train.substr(offset, length), message);
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

TEST(Train, IsRefusedWithASecondWordThatIsNotZero) {
  std::string train = train_of({"one", "two"});
  for (size_t at = 4; at < 8; ++at) {
    std::string bad = train;
    bad[at] = 1;
    EXPECT_EQ(count(bad), 0u) << at;
  }
}

TEST(Train, OfNothingHasNoRecord) { EXPECT_EQ(count(""), 0u); }

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
