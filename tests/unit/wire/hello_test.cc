// SPDX-License-Identifier: BSD-2-Clause
#include "wire/hello.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace sio::internal::wire {
namespace {

Hello valid() {
  Hello hello;
  hello.slot_size = 8192;
  hello.slots = 64;
  hello.max_message = 8192;
  return hello;
}

HelloFault fault_of(const Hello& hello) {
  Hello decoded;
  return decode_hello(encode_hello(hello), decoded);
}

// docs/protocol.md, Handshake.
TEST(Hello, HasTheBytesOfTheProtocolPage) {
  const unsigned char page[] = {0x73, 0x69, 0x6f, 0, 0, 1, 0,    1,    0, 0, 0, 1,
                                0,    0,    0x20, 0, 0, 0, 0,    0x40, 0, 0, 0, 4,
                                0,    0,    0,    0, 0, 0, 0x20, 0,    0, 0, 0, 0xc0};
  Hello hello = valid();
  hello.features = kRecalls;
  hello.more_slots = 192;
  const HelloBytes bytes = encode_hello(hello);
  ASSERT_EQ(sizeof page, bytes.size());
  EXPECT_EQ(std::memcmp(bytes.data(), page, sizeof page), 0);
}

TEST(Hello, ComesBackAsItWasAlsoPadded) {
  Hello hello = valid();
  hello.features = 0x80000001;
  hello.more_slots = 4032;
  const HelloBytes bytes = encode_hello(hello);
  std::vector<std::byte> padded(bytes.begin(), bytes.end());
  padded.resize(56, std::byte{0xee});
  Hello decoded;
  ASSERT_EQ(decode_hello(padded, decoded), HelloFault::kNone);
  EXPECT_EQ(decoded.features, 0x80000001u);
  EXPECT_EQ(decoded.slot_size, 8192u);
  EXPECT_EQ(decoded.slots, 64u);
  EXPECT_EQ(decoded.more_slots, 4032u);
  EXPECT_EQ(decoded.control_slots, kControlSlots);
  EXPECT_EQ(decoded.max_message, 8192u);
}

TEST(Hello, IsForeignWhenTooShortOrOfAnotherMagic) {
  HelloBytes bytes = encode_hello(valid());
  Hello decoded;
  for (size_t size = 0; size < kHelloSize; ++size) {
    EXPECT_EQ(decode_hello(std::span(bytes).first(size), decoded), HelloFault::kForeign) << size;
  }
  bytes[0] = std::byte{0};
  EXPECT_EQ(decode_hello(bytes, decoded), HelloFault::kForeign);
}

TEST(Hello, OfAnotherVersionIsToldApart) {
  Hello hello = valid();
  hello.version = 2;
  EXPECT_EQ(fault_of(hello), HelloFault::kVersion);
}

TEST(Hello, OfAnotherTypeIsToldApart) {
  Hello hello = valid();
  hello.type = static_cast<SocketType>(3);
  EXPECT_EQ(fault_of(hello), HelloFault::kType);
}

TEST(Hello, IsRefusedWithAnyLimitOutOfRange) {
  const auto with = [](auto member, auto value) {
    Hello hello = valid();
    hello.*member = value;
    if (hello.max_message < hello.slot_size) hello.max_message = hello.slot_size;
    return fault_of(hello);
  };
  for (const uint32_t size : {0u, 64u, 255u, 8193u, 8200u, 65600u, 0xffffffffu}) {
    EXPECT_EQ(with(&Hello::slot_size, size), HelloFault::kLimits) << size;
  }
  for (const uint32_t slots : {0u, 1u, 4097u, 0xffffffffu}) {
    EXPECT_EQ(with(&Hello::slots, slots), HelloFault::kLimits) << slots;
  }
  for (const uint32_t slots : {0u, 3u, 5u}) {
    EXPECT_EQ(with(&Hello::control_slots, slots), HelloFault::kLimits) << slots;
  }
  for (const uint32_t more : {4096u - 63, 4096u, 0xffffffffu}) {
    EXPECT_EQ(with(&Hello::more_slots, more), HelloFault::kLimits) << more;
  }
  Hello hello = valid();
  hello.max_message = 8191;
  EXPECT_EQ(fault_of(hello), HelloFault::kLimits);
}

// docs/protocol.md, Handshake.
TEST(Refusal, HasTheBytesOfTheProtocolPage) {
  const unsigned char page[] = {0x73, 0x69, 0x6f, 0, 0, 1, 0, 4};
  const RefusalBytes bytes = encode_refusal(Refusal::kBacklog);
  ASSERT_EQ(sizeof page, bytes.size());
  EXPECT_EQ(std::memcmp(bytes.data(), page, sizeof page), 0);
}

TEST(Refusal, IsToldFromForeignData) {
  Refusal reason{};
  const RefusalBytes bytes = encode_refusal(Refusal::kVersion);
  ASSERT_TRUE(decode_refusal(bytes, reason));
  EXPECT_EQ(reason, Refusal::kVersion);
  EXPECT_FALSE(decode_refusal(std::span(bytes).first(7), reason));
  const RefusalBytes zeros{};
  EXPECT_FALSE(decode_refusal(zeros, reason));
}

}  // namespace
}  // namespace sio::internal::wire
