// SPDX-License-Identifier: BSD-2-Clause
#include "wire/datagram.h"

#include <gtest/gtest.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

#include <vector>

namespace sio::internal::wire {
namespace {

template <typename T>
std::vector<unsigned char> bytes_of(const T& value) {
  std::vector<unsigned char> bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// docs/protocol.md, Datagrams.
TEST(DatagramTag, HasTheBytesOfTheProtocolPage) {
  EXPECT_EQ(bytes_of(encode_tag({7000, 0})), (std::vector<unsigned char>{0x1b, 0x58, 0, 0}));
  EXPECT_EQ(bytes_of(encode_tag({7000, 258})), (std::vector<unsigned char>{0x1b, 0x58, 1, 2}));
  unsigned char trailer[2];
  encode_trailer(7000, trailer);
  EXPECT_EQ(bytes_of(trailer), (std::vector<unsigned char>{0x1b, 0x58}));
}

TEST(DatagramTag, ComesBackAsItWas) {
  for (const uint16_t port : std::vector<uint16_t>{1, 80, 65535}) {
    for (const uint16_t sequence : std::vector<uint16_t>{0, 1, 32768, 65535}) {
      const DatagramTag tag = decode_tag(encode_tag({port, sequence}));
      EXPECT_EQ(tag.port, port);
      EXPECT_EQ(tag.sequence, sequence);
    }
    unsigned char trailer[2];
    encode_trailer(port, trailer);
    EXPECT_EQ(decode_trailer(trailer), port);
  }
}

TEST(DatagramSequence, BeginsWithZeroWhichDoesNotComeAgain) {
  uint16_t sequence = kFirstSequence;
  for (int i = 0; i < 200'000; ++i) {
    sequence = next_sequence(sequence);
    ASSERT_NE(sequence, kFirstSequence);
  }
}

TEST(DatagramSequence, GapsAreCountedAcrossTheWrap) {
  EXPECT_EQ(sequence_gap(5, 5), 0u);
  EXPECT_EQ(sequence_gap(5, 8), 3u);
  EXPECT_EQ(sequence_gap(65535, 65535), 0u);
  EXPECT_EQ(sequence_gap(65535, 1), 1u);
  EXPECT_EQ(sequence_gap(65534, 3), 4u);
  EXPECT_GE(sequence_gap(5, 4), kLate);
  EXPECT_GE(sequence_gap(1, 65535), kLate);
  EXPECT_LT(sequence_gap(1, 32768), kLate);
}

TEST(Grh, OfIPv4LiesInItsSecondHalf) {
  unsigned char grh[kGrhBytes] = {};
  iphdr header{};
  header.version = 4;
  header.ihl = 5;
  header.saddr = htonl(0x0a090001);
  header.daddr = htonl(0xefff0702);
  std::memcpy(grh + 20, &header, sizeof header);
  InetAddress from;
  InetAddress to;
  ASSERT_TRUE(decode_grh(grh, from, to));
  EXPECT_EQ(from, InetAddress::of_ipv4(&header.saddr));
  EXPECT_EQ(to, InetAddress::of_ipv4(&header.daddr));
  EXPECT_FALSE(from.is_group());
  EXPECT_TRUE(to.is_group());
}

TEST(Grh, OfIPv6IsAllOfIt) {
  ip6_hdr header{};
  header.ip6_flow = htonl(6u << 28);
  header.ip6_src.s6_addr[0] = 0x20;
  header.ip6_dst.s6_addr[0] = 0xff;
  InetAddress from;
  InetAddress to;
  ASSERT_TRUE(decode_grh(&header, from, to));
  EXPECT_EQ(from, InetAddress::of_ipv6(&header.ip6_src));
  EXPECT_TRUE(to.is_group());
}

TEST(Grh, OfAMappedAddressIsOfIPv4) {
  ip6_hdr header{};
  header.ip6_flow = htonl(6u << 28);
  const unsigned char mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 9, 0, 1};
  std::memcpy(&header.ip6_src, mapped, sizeof mapped);
  InetAddress from;
  InetAddress to;
  ASSERT_TRUE(decode_grh(&header, from, to));
  EXPECT_EQ(from, InetAddress::of_ipv4(mapped + 12));
}

TEST(Grh, OfNoHeaderIsRefused) {
  unsigned char grh[kGrhBytes] = {};
  InetAddress from;
  InetAddress to;
  EXPECT_FALSE(decode_grh(grh, from, to));
  grh[20] = 0x46;
  EXPECT_FALSE(decode_grh(grh, from, to));
  grh[0] = 0x50;
  EXPECT_FALSE(decode_grh(grh, from, to));
}

}  // namespace
}  // namespace sio::internal::wire
