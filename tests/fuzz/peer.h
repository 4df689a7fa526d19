// SPDX-License-Identifier: BSD-2-Clause
//
// The peer and the network: steps of an input that move the puppet's strings.
#pragma once

#include <chrono>

#include "input.h"
#include "pattern.h"
#include "puppet_provider.h"

namespace sio::test {

class Peer {
 public:
  static constexpr uint32_t kSteps = 32;

  explicit Peer(Input& input) : input_(input) {}

  // What comes next in the input; its number is below kSteps.
  void act(uint32_t step);
  // How long the last step took.
  std::chrono::nanoseconds passed() const { return passed_; }
  // The input is over: the peer goes. False: it has gone already.
  bool leave();

 private:
  using State = PuppetEndpoint::State;
  using Kind = ConnectionEvent::Kind;

  PuppetPair* pair() const;
  PuppetEndpoint* live_endpoint() const;
  void resolve();
  void greet(const std::string& private_data);
  void greet_largely();
  void answer(PuppetEndpoint& endpoint, const std::string& private_data);
  void refuse();
  void fail_connection();
  void disconnect();
  void deliver(const PuppetWork::Frame& frame, bool cheats = false);
  void message();
  void train();
  void control(uint32_t kind);
  void refund();
  void raw_frame();
  void fail_receive(PuppetWork* work);
  void fail_send(PuppetWork* work);
  void complete_sends(PuppetWork* work);
  ibv_wc_status bad_status();

  // peer_bulk.cc
  void act_on_lane(uint32_t step);
  PuppetLane* lane() const;
  void lane_frame();
  void announce();
  void announce_badly();
  void grant(uint32_t n);
  void pieces(uint32_t most);
  void odd_piece();

  Input& input_;
  std::chrono::nanoseconds passed_{0};
  uint8_t pattern_ = 0;  // of the messages, so that each is another
  uint32_t chosen_ = 0;  // which of the connections the steps are about, from the youngest
};

// The immediate data of a frame.
uint32_t immediate(uint32_t kind, uint32_t credits, uint32_t grants = 0);
void append_number(std::string& to, uint32_t number);
void append_record(std::string& to, size_t length, uint8_t seed);

}  // namespace sio::test
