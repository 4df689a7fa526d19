// SPDX-License-Identifier: BSD-2-Clause
#include "faults/station.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstring>

namespace sio::test {
namespace {

constexpr size_t kMostHeldDatagrams = 30;
constexpr size_t kLargestDatagram = 2000;

}  // namespace

uint16_t Network::port() const { return stations.empty() ? uint16_t{0} : stations[0]->port(); }

uint64_t Network::sent_to(uint32_t destination) const {
  uint64_t sum = 0;
  for (const auto& [way, count] : sent) sum += way.second == destination ? count : 0;
  return sum;
}

Station::Station(Home& home, Network& network, bool shares)
    : Guest(home, SOCK_DGRAM, kLargestDatagram, kMostHeldDatagrams),
      network_(network),
      number_(static_cast<uint32_t>(network.stations.size())),
      shares_(shares && network.port() != 0) {
  if (!open()) return;
  const int timeout = 20;
  sio_setsockopt(socket(), SOL_SIO, SIO_CONNECT_TIMEOUT, &timeout, sizeof timeout);
  const int known = 2 + static_cast<int>(below(8));
  if (below(2) == 0) sio_setsockopt(socket(), SOL_SIO, SIO_DATAGRAM_PEERS, &known, sizeof known);
  const int slots = 2 + static_cast<int>(below(64));
  sio_setsockopt(socket(), SOL_SIO, SIO_RECV_SLOTS, &slots, sizeof slots);
  const int on = 1;
  sio_setsockopt(socket(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const Address wish("127.0.0.1", shares_ ? network.port() : uint16_t{0});
  if (sio_bind(socket(), wish.get(), wish.size()) != 0) {
    close();
    return;
  }
  if (!shares_) port_ = Address(socket(), sio_getsockname).port();
}

void Station::step() {
  if (!open()) return;
  switch (below(40)) {
    case 0:
      return connect();
    case 1:
      return dissolve();
    case 2:
      return change_membership();
    default:
      return act();
  }
}

// ---------------------------------------------------------------------------------------- sending

uint32_t Station::any_destination() {
  switch (below(12)) {
    case 0:
      return Network::kNobody;
    case 1:
    case 2:
    case 3:
      return Network::kFirstGroup + static_cast<uint32_t>(below(Network::kGroups));
    default:
      return static_cast<uint32_t>(below(network_.stations.size()));
  }
}

// False: nothing is sent there.
bool Station::aim(uint32_t destination) {
  Address to("127.0.0.1", 1);
  if (destination < Network::kFirstGroup) {
    const uint16_t port = network_.stations[destination]->port();
    if (port == 0) return false;
    to = Address("127.0.0.1", port);
  } else if (destination < Network::kNobody) {
    if (network_.port() == 0) return false;
    to = Address("239.255.9." + std::to_string(destination), network_.port());
  }
  std::memcpy(&to_, to.get(), to.size());
  next_ = destination;
  return true;
}

void Station::put(void* to, size_t size) {
  if (connected_) {
    next_ = peer_;
  } else {
    while (!aim(any_destination())) {
    }
  }
  addressed_ = !connected_;
  const Header header{number_, next_, network_.sent[{number_, next_}], size};
  std::memcpy(to, &header, sizeof header);
  for (size_t i = sizeof header; i < size; ++i) static_cast<char*>(to)[i] = byte(header, i);
}

void Station::accepted() {
  ++sent_;
  ++network_.sent[{number_, next_}];
}

bool Station::send_to(uint32_t destination) {
  if (!aim(destination)) return false;
  const Header header{number_, next_, network_.sent[{number_, next_}], sizeof(Header)};
  const auto* const address = reinterpret_cast<const sockaddr*>(&to_);
  if (sio_sendto(socket(), &header, sizeof header, MSG_DONTWAIT, address, sizeof(sockaddr_in)) != 0)
    return false;
  accepted();
  return true;
}

void Station::connect() {
  const uint32_t to = any_destination();
  if (!aim(to)) return;
  const auto* const address = reinterpret_cast<const sockaddr*>(&to_);
  const int result = sio_connect(socket(), address, sizeof(sockaddr_in));
  if (result != 0 && errno == EALREADY) return;
  connected_ = result == 0 || errno == EINPROGRESS;
  peer_ = to;
}

void Station::dissolve() {
  sockaddr_storage none{};
  none.ss_family = AF_UNSPEC;
  sio_connect(socket(), reinterpret_cast<const sockaddr*>(&none), sizeof(sockaddr_in));
  connected_ = false;
}

void Station::change_membership() {
  ip_mreqn wish{};
  const Address group("239.255.9." + std::to_string(Network::kFirstGroup + below(Network::kGroups)),
                      0);
  wish.imr_multiaddr = reinterpret_cast<const sockaddr_in*>(group.get())->sin_addr;
  const int option = below(3) != 0 ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP;
  sio_setsockopt(socket(), IPPROTO_IP, option, &wish, sizeof wish);
}

// -------------------------------------------------------------------------------------- receiving

bool Station::check(const void* data, size_t size, const sockaddr* from) {
  Header header{};
  if (size < sizeof header) return false;
  std::memcpy(&header, data, sizeof header);
  const bool to_group = header.destination >= Network::kFirstGroup &&
                        header.destination < Network::kFirstGroup + Network::kGroups;
  const bool ours = header.destination == number_ || (to_group && (shares_ || number_ == 0));
  const std::pair way(header.sender, header.destination);
  if (!ours || header.size != size || header.number >= network_.sent[way]) return false;
  uint64_t& expected = expected_[way];
  if (header.number < expected) return false;
  expected = header.number + 1;
  for (size_t i = sizeof header; i < size; ++i) {
    if (static_cast<const char*>(data)[i] != byte(header, i)) return false;
  }
  ++received_;
  if (from == nullptr) return true;
  const uint16_t port = Address(from).port();
  return ports_.try_emplace(header.sender, port).first->second == port;
}

void Station::check_counts() {
  if (!open()) return;
  sio_info info{};
  EXPECT_TRUE(eventually([&] {
    take();
    release_all();
    socklen_t size = sizeof info;
    EXPECT_EQ(sio_getsockopt(socket(), SOL_SIO, SIO_INFO, &info, &size), 0) << trace();
    return info.messages_received == received_;
  })) << info.messages_received
      << " were handed out, " << received_ << " seen" << trace();
  EXPECT_EQ(info.messages_sent, sent_) << trace();
  EXPECT_EQ(info.datagrams_odd, 0u) << trace();
  uint64_t to_us = network_.sent_to(number_);
  for (uint32_t i = 0; i < Network::kGroups; ++i)
    to_us += network_.sent_to(Network::kFirstGroup + i);
  EXPECT_LE(info.messages_received + info.datagrams_lost, to_us) << trace();
}

}  // namespace sio::test
