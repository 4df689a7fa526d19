// SPDX-License-Identifier: BSD-2-Clause
//
// A datagram socket of a schedule: what it sends says from whom, to whom and which it is, so that
// who gets it sees whether it is right, there for the first time, and in its place.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "conformance/support.h"
#include "faults/guest.h"

namespace sio::test {

class Station;

// All of a schedule, and how many of what they sent was taken.
struct Network {
  static constexpr uint32_t kGroups = 3;  // numbered from here on; below are stations
  static constexpr uint32_t kFirstGroup = 100;
  static constexpr uint32_t kNobody = 200;

  std::vector<std::unique_ptr<Station>> stations;
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> sent;  // by sender and destination

  uint16_t port() const;  // the first one's: members of groups share it
  uint64_t sent_to(uint32_t destination) const;
};

class Station final : public Guest {
 public:
  // `shares`: the port of the first one, so that it gets what goes to groups there.
  Station(Home& home, Network& network, bool shares);

  uint16_t port() const { return port_; }
  bool connected() const { return connected_; }
  uint64_t received() const { return received_; }

  void step();
  // To this station, copied.
  bool send_to(uint32_t destination);
  // What SIO_INFO says is what was seen.
  void check_counts();
  void dissolve();

 private:
  struct Header {
    uint32_t sender;
    uint32_t destination;
    uint64_t number;
    uint64_t size;
  };
  static_assert(sizeof(Header) == kLeast);

  static char byte(const Header& of, size_t place) {
    return static_cast<char>(of.number * 7 + of.sender + place * 31);
  }

  void put(void* to, size_t size) override;
  void accepted() override;
  const sockaddr_storage* destination() const override { return addressed_ ? &to_ : nullptr; }
  bool check(const void* data, size_t size, const sockaddr* from) override;

  bool aim(uint32_t destination);
  uint32_t any_destination();
  void connect();
  void change_membership();

  Network& network_;
  const uint32_t number_;
  const bool shares_;
  uint16_t port_ = 0;  // where datagrams to it alone go; 0: none are sent there
  bool connected_ = false;
  uint32_t peer_ = 0;  // of connected_
  uint32_t next_ = 0;  // where the next one goes
  bool addressed_ = false;
  sockaddr_storage to_{};
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> expected_;  // the least that may come
  std::map<uint32_t, uint16_t> ports_;                          // of senders
};

}  // namespace sio::test
