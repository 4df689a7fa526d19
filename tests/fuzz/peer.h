// SPDX-License-Identifier: BSD-2-Clause
//
// The peer and the network: steps of an input that move the puppet's strings.
#pragma once

#include <chrono>

#include "input.h"
#include "puppet_provider.h"

namespace sio::test {

class Peer {
 public:
  static constexpr uint32_t kSteps = 16;

  explicit Peer(Input& input) : input_(input) {}

  // What comes next in the input; its number is below kSteps.
  void act(uint32_t step);
  // The input is over: the peer goes. False: it has gone already.
  bool leave();

 private:
  using State = PuppetEndpoint::State;
  using Kind = ConnectionEvent::Kind;

  PuppetPair* youngest_pair() const;
  PuppetEndpoint* live_endpoint() const;
  void resolve();
  void greet(const std::string& private_data);
  void answer(PuppetEndpoint& endpoint, const std::string& private_data);
  void refuse();
  void fail_connection();
  void disconnect();
  void deliver(PuppetPair::Frame frame);
  void message();
  void train();
  void control(uint32_t kind);
  void raw_frame();
  void fail_receive();
  void fail_send();
  ibv_wc_status bad_status();

  Input& input_;
  uint8_t pattern_ = 0;  // of the messages, so that each is another
};

// Lengths of time that make a difference: a burst's gap, a spin, the time limits.
std::chrono::nanoseconds some_time(Input& input);

}  // namespace sio::test
