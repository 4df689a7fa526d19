// SPDX-License-Identifier: BSD-2-Clause
//
// The network of a datagram socket: who sends what, and how questions end.
#pragma once

#include <chrono>

#include "input.h"
#include "puppet_datagram.h"

namespace sio::test {

class DatagramPeer {
 public:
  static constexpr uint32_t kSteps = 16;

  explicit DatagramPeer(Input& input) : input_(input) {}

  // What comes next in the input; its number is below kSteps.
  void act(uint32_t step);
  // The input is over: no question is answered any more. False: there is none.
  bool leave();

 private:
  using State = PuppetDatagramEndpoint::State;

  PuppetDatagramPair* pair() const;
  PuppetDatagramEndpoint* question() const;
  void resolve();
  void establish(bool with_destination);
  void refuse(bool politely);
  void answer_late();
  void break_socket();
  void datagram(bool to_group);
  void odd_datagram();
  void many_datagrams();
  void deliver(const PuppetWork::Frame& frame);
  uint16_t sequence_of(const InetAddress& from, const InetAddress& to);

  Input& input_;
  uint8_t pattern_ = 0;
  std::map<std::pair<uint16_t, bool>, uint16_t> sequences_;  // by port, and whether to a group
};

// Addresses and groups that inputs name by a number.
InetAddress some_host(uint32_t number, int family);
InetAddress some_group(uint32_t number, int family);

}  // namespace sio::test
