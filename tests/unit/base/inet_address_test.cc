// SPDX-License-Identifier: BSD-2-Clause
#include "base/inet_address.h"

#include <gtest/gtest.h>

#include <set>

namespace sio::internal {
namespace {

constexpr uint64_t kSeed = 0x1234567;

// That of so many hosts, one in each network, that have this number there.
size_t places_of(uint64_t host, uint32_t networks) {
  std::set<uint64_t> places;
  for (uint32_t network = 0; network < networks; ++network) {
    uint64_t words[2] = {0x0120 + (uint64_t{network} << 32), host};
    places.insert(InetAddress::of_ipv6(words).with_port(7000).hash(kSeed));
  }
  return places.size();
}

// They are chosen by whoever sends from them.
TEST(InetAddressTest, HashesAreApartWhateverTheAddressesHaveInCommon) {
  EXPECT_EQ(places_of(1, 1000), 1000u);
  EXPECT_EQ(places_of(0, 1000), 1000u);
  // What would make a product of zero, were the seed not in it.
  EXPECT_EQ(places_of(0x9e3779b97f4a7c15, 1000), 1000u);
  EXPECT_EQ(places_of(0xd6e8feb86659fd93, 1000), 1000u);
}

}  // namespace
}  // namespace sio::internal
