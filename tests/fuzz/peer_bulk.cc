// SPDX-License-Identifier: BSD-2-Clause
//
// What the peer does about messages larger than a slot: as it should, and otherwise.
#include <arpa/inet.h>

#include "peer.h"

namespace sio::test {

namespace {

enum Kind : uint32_t { kMessage = 1, kTrain = 2, kCredit = 3, kLane = 5 };

}  // namespace

void Peer::act_on_lane(uint32_t step) {
  switch (step) {
    case 0:
      return lane_frame();
    case 1:
      return announce();
    case 2:
      return announce_badly();
    case 3:
      if (PuppetPair* to = pair()) grant(to->ledger().bulk().to_grant());
      return;
    case 4:
      return grant(input_.byte());
    case 5:
      return pieces(1);
    case 6:
      return pieces(UINT32_MAX);
    case 7:
      return odd_piece();
    case 8:
      return complete_sends(lane());
    case 9:
      return fail_receive(lane());
    case 10:
      return fail_send(lane());
    default:
      return greet_largely();
  }
}

PuppetLane* Peer::lane() const { return pair() != nullptr ? pair()->lane : nullptr; }

// Mostly a good one.
void Peer::lane_frame() {
  const uint32_t how = input_.byte();
  PuppetWork::Frame frame;
  append_number(frame.payload, (how & 64) != 0 ? 0x1000011 : 0x11);
  append_number(frame.payload, (how & 32) != 0 ? 0x1000000 : 0xabcdef);
  if ((how & 16) != 0) frame.payload.resize(how & 15);
  frame.imm_data = immediate(kLane, (how & 128) != 0 ? 1 : 0);
  deliver(frame);
}

// What our end takes, between messages that it takes anyway.
void Peer::announce() {
  const uint32_t how = input_.byte();
  const uint32_t credits = input_.byte();
  if (pair() == nullptr) return;
  const BulkLedger& bulk = pair()->ledger().bulk();
  const BulkLedger::Limits ours = bulk.ours();
  if (ours.most <= ours.slot_size) return;
  PuppetWork::Frame frame;
  uint32_t n = std::min(1 + (how & 7), bulk.may_announce());
  for (; n > 0; --n) {
    const uint32_t length = input_.word();
    if ((how & 16) != 0) append_record(frame.payload, length % 50, ++pattern_);
    const uint64_t whole = (how & 8) != 0 ? length * uint64_t{64} : length;
    append_number(frame.payload,
                  ours.slot_size + 1 + static_cast<uint32_t>(whole % (ours.most - ours.slot_size)));
    append_number(frame.payload, 1);
  }
  if ((how & 32) != 0) append_record(frame.payload, credits % 50, ++pattern_);
  frame.imm_data = immediate(kTrain, credits);
  deliver(frame);
}

// Whatever length, as often as it likes.
void Peer::announce_badly() {
  PuppetWork::Frame frame;
  const uint32_t how = input_.byte();
  for (uint32_t n = 1 + how % 70; n > 0; --n) {
    append_number(frame.payload, (how & 128) != 0 ? 300 : input_.word() << (how & 15));
    append_number(frame.payload, 1);
  }
  frame.imm_data = immediate(kTrain, 0);
  deliver(frame);
}

void Peer::grant(uint32_t n) {
  PuppetWork::Frame frame;
  const uint32_t credits = input_.byte();
  frame.imm_data = immediate(kCredit, credits & 15, n);
  if ((credits & 128) != 0) {
    frame.imm_data = immediate(kMessage, credits & 15, n);
    frame.payload = pattern(1 + n, ++pattern_);
  }
  deliver(frame);
}

void Peer::pieces(uint32_t most) {
  while (most-- > 0 && lane() != nullptr && lane()->has_receive()) {
    const uint32_t due = pair()->ledger().bulk().due();
    if (due == 0 || due > lane()->receive_length()) return;
    PuppetWork::Frame frame;
    frame.flags = 0;
    frame.payload = pattern(due, ++pattern_);
    lane()->receive(frame);
  }
}

void Peer::odd_piece() {
  const uint32_t how = input_.byte();
  PuppetWork::Frame frame;
  frame.flags = (how & 1) != 0 ? IBV_WC_WITH_IMM : 0;
  if ((how & 2) != 0) frame.opcode = IBV_WC_RECV_RDMA_WITH_IMM;
  frame.solicited = (how & 4) == 0;
  size_t length = input_.word();
  if (lane() == nullptr || !lane()->has_receive()) return;
  const size_t fits = lane()->receive_length();
  if ((how & 8) != 0) length = fits;
  if (length > fits) return lane()->fail_receive(IBV_WC_LOC_LEN_ERR);
  frame.payload = pattern(length, ++pattern_);
  lane()->receive(frame);
}

}  // namespace sio::test
