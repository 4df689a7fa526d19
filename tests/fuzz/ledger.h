// SPDX-License-Identifier: BSD-2-Clause
//
// What two ends of a connection may say to each other (docs/protocol.md), written down once more
// and apart from the library: what our end sends is held to it, and of what the peer sends it says
// which messages the program may get.
#pragma once

#include "bulk_ledger.h"
#include "talk.h"
#include "wire/hello.h"

namespace sio::test {

class Ledger {
 public:
  explicit Ledger(std::shared_ptr<Talk> talk) : talk_(std::move(talk)) {}

  void we_say(const internal::wire::Hello& hello);
  void peer_says(const internal::wire::Hello& hello);

  // A SEND of ours, when so many receives are posted for what the peer sends.
  void sent(uint32_t imm_data, const std::string& payload, uint32_t lane_number);
  // A frame of the peer's was put into a slot, and what it begins with has come to the library.
  void came(bool send_with_imm, uint32_t imm_data, const char* slot, uint32_t length);
  void came_up(uint32_t imm_data);

  // There is something to send, and a credit for it.
  bool should_send() const;

  BulkLedger& bulk() { return bulk_; }
  // Those that the peer has left, and whether it may send a message with one.
  int64_t peer_credits() const { return peer_credits_; }
  bool we_recall() const { return we_recall_; }
  bool peer_may_send() const { return peer_data_credits_ > 0 && peer_credits_ > 0; }

 private:
  enum Kind : uint32_t {
    kMessage = 1,
    kTrain = 2,
    kCredit = 3,
    kEnd = 4,
    kLane = 5,
    kRecall = 6,
    kRefund = 7
  };

  void sent_message(const std::string& message);
  void sent_bytes(const std::string& bytes);
  void sent_train(const std::string& payload);
  bool may_come(uint32_t bits, const char* slot, uint32_t length);
  bool refund_came(uint32_t refund);
  bool message_came(const char* slot, uint32_t length);
  bool train_came(const char* slot, uint32_t length);

  std::shared_ptr<Talk> talk_;
  BulkLedger bulk_;
  uint32_t slot_size_ = internal::wire::kMinSlotSize;  // of the peer
  int64_t credits_ = 0;                                // that our end may have at most
  int64_t data_credits_ = 0;                           // of them, for messages
  int64_t peer_credits_ = 0;
  int64_t peer_data_credits_ = 0;
  bool greeted_ = false;
  // As each has said. A recall that has had no answer; and the same of the peer's.
  bool we_may_recall_ = false;
  bool peer_may_recall_ = false;
  bool we_recall_ = false;
  bool peer_recalls_ = false;
  bool we_ended_ = false;
  bool peer_ended_ = false;
  bool broken_ = false;  // the peer broke the protocol: nothing of what follows may be delivered
};

}  // namespace sio::test
