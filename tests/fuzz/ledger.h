// SPDX-License-Identifier: BSD-2-Clause
//
// What two ends of a connection may say to each other (docs/protocol.md), written down once more
// and apart from the library: what our end sends is held to it, and of what the peer sends it says
// which messages the program may get.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "wire/hello.h"

namespace sio::test {

// A message of the peer's, where the device has placed it.
struct Incoming {
  const char* at;
  std::string bytes;
};

// The messages of one connection, shared with the program.
struct Talk {
  std::deque<std::string> outgoing;  // accepted by sio_send, not seen on the wire yet
  std::deque<Incoming> incoming;     // the program may get these, in this order
};

class Ledger {
 public:
  explicit Ledger(std::shared_ptr<Talk> talk) : talk_(std::move(talk)) {}

  void peer_says(const internal::wire::Hello& hello);
  void we_say(const internal::wire::Hello& hello);

  // A SEND of ours.
  void sent(uint32_t imm_data, const std::string& payload);
  // A frame of the peer's was put into a slot, and what it begins with has come to the library.
  void came(bool send_with_imm, uint32_t imm_data, const char* slot, uint32_t length);
  void credits_came(uint32_t imm_data);

 private:
  void sent_message(const std::string& message);
  void sent_train(const std::string& payload);
  bool train_came(const char* slot, uint32_t length);

  std::shared_ptr<Talk> talk_;
  uint32_t slot_size_ = internal::wire::kMinSlotSize;  // of the peer
  int64_t credits_ = 0;                                // that our end may have at most
  int64_t data_credits_ = 0;                           // those for data
  int64_t told_ = 0;                                   // that the peer has for data
  bool greeted_ = false;
  bool we_ended_ = false;
  bool peer_ended_ = false;
  bool broken_ = false;  // the peer broke the protocol: nothing of what follows may be delivered
};

}  // namespace sio::test
