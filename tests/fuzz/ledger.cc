// SPDX-License-Identifier: BSD-2-Clause
#include "ledger.h"

#include <algorithm>
#include <utility>

#include "must.h"

namespace sio::test {
namespace {

constexpr uint32_t kControlSlots = 4;
constexpr size_t kMostInTrain = 8192;

// The record of a train at `at`: how many bytes it takes in all, 0 if it is none. An announcement
// has nothing behind it.
struct Record {
  size_t length;
  bool announced;
};

size_t record_at(const char* at, size_t left, Record& record) {
  if (left < 8) return 0;
  const uint32_t flags = number_at(at + 4);
  record = {number_at(at), flags == 1};
  if (flags == 1) return 8;
  const size_t whole = 8 + (record.length == 0 ? 8 : (record.length + 7) / 8 * 8);
  return whole <= left && flags == 0 ? whole : 0;
}

}  // namespace

void Ledger::we_say(const internal::wire::Hello& hello) {
  peer_data_credits_ += hello.slots;
  peer_credits_ += hello.slots + kControlSlots;
  we_may_recall_ = (hello.features & internal::wire::kRecalls) != 0;
  bulk_.we_say({hello.slot_size, hello.max_message});
}

void Ledger::peer_says(const internal::wire::Hello& hello) {
  greeted_ = true;
  slot_size_ = hello.slot_size;
  data_credits_ += hello.slots;
  credits_ += hello.slots + kControlSlots;
  peer_may_recall_ = (hello.features & internal::wire::kRecalls) != 0;
  bulk_.peer_says({hello.slot_size, hello.max_message});
}

// -------------------------------------------------------------------------------------------- ours

void Ledger::sent(uint32_t imm_data, const std::string& payload, uint32_t lane_number) {
  const uint32_t bits = ntohl(imm_data);
  const uint32_t kind = bits >> 28;
  const uint32_t refund = kind == kRefund ? bits & 0x1fffu : 0;
  const uint32_t data_credits = kind == kRefund ? 0 : bits & 0x1fffu;
  const uint32_t credits = data_credits + (bits >> 13 & 7);
  MUST(greeted_ && kind >= kMessage && kind <= kRefund);
  // What the next message needs is kept.
  MUST(refund == 0 || data_credits_ - refund >= 2);
  credits_ -= refund;
  data_credits_ -= refund;
  MUST(kind != kRecall || (peer_may_recall_ && !std::exchange(we_recall_, true)));
  MUST(kind != kRefund || std::exchange(peer_recalls_, false));
  MUST(payload.size() <= slot_size_);
  const bool data = kind == kMessage || kind == kTrain;
  const bool for_credits = kind == kCredit && credits > 0;
  const bool last = kind == kEnd || (for_credits && we_ended_);
  MUST(credits_ > (last ? 0 : for_credits ? 1 : 2));
  MUST(!data || data_credits_ > 0);
  --credits_;
  if (data) --data_credits_;
  MUST(!we_ended_ || !data);
  MUST(data || kind == kLane || payload.empty());
  MUST(!talk_->stream || (kind != kTrain && kind != kLane));
  if (kind == kMessage) talk_->stream ? sent_bytes(payload) : sent_message(payload);
  if (kind == kTrain) sent_train(payload);
  if (kind == kLane) bulk_.lane_sent(payload, lane_number);
  bulk_.grants_sent(bits >> 16 & 0xfffu);
  // The end comes after all that was sent.
  MUST(kind != kEnd || (!we_ended_ && talk_->outgoing.size() <= (talk_->offered ? 1 : 0)));
  we_ended_ |= kind == kEnd;
  peer_credits_ += credits;
  peer_data_credits_ += data_credits;
}

bool Ledger::should_send() const {
  return greeted_ && !talk_->outgoing.empty() && data_credits_ > 0 && credits_ > 2;
}

void Ledger::sent_message(const std::string& message) {
  MUST(!talk_->outgoing.empty() && talk_->outgoing.front() == message);
  talk_->leave();
}

void Ledger::sent_bytes(const std::string& bytes) {
  MUST(!bytes.empty());
  for (size_t at = 0; at < bytes.size();) {
    MUST(!talk_->outgoing.empty());
    std::string& first = talk_->outgoing.front();
    const size_t n = std::min(first.size(), bytes.size() - at);
    MUST(bytes.compare(at, n, first, 0, n) == 0);
    at += n;
    first.erase(0, n);
    if (first.empty()) talk_->leave();
  }
}

void Ledger::sent_train(const std::string& payload) {
  MUST(payload.size() <= kMostInTrain);
  int records = 0;
  for (size_t at = 0; at < payload.size(); ++records) {
    Record record;
    const size_t whole = record_at(payload.data() + at, payload.size() - at, record);
    MUST(whole != 0);
    if (record.announced) {
      MUST(!talk_->outgoing.empty() && talk_->outgoing.front().size() == record.length);
      bulk_.announced(talk_->outgoing.front());
      talk_->leave();
    } else {
      sent_message(payload.substr(at + 8, record.length));
      for (size_t i = 8 + record.length; i < whole; ++i) MUST(payload[at + i] == 0);
    }
    at += whole;
  }
  MUST(records >= 1);
}

// -------------------------------------------------------------------------------------- the peer's

void Ledger::came(bool send_with_imm, uint32_t imm_data, const char* slot, uint32_t length) {
  const uint32_t bits = ntohl(imm_data);
  const uint32_t grants = bits >> 16 & 0xfffu;
  const uint32_t kind = bits >> 28;
  --peer_credits_;
  // Whether the library takes a message that comes without depends on what it has sent until it
  // sees it.
  if ((kind == kMessage || kind == kTrain) && peer_data_credits_ > 0) --peer_data_credits_;
  if (!send_with_imm || !may_come(bits, slot, length)) broken_ = true;
  if (!broken_) bulk_.grants_on_their_way(grants);
}

bool Ledger::may_come(uint32_t bits, const char* slot, uint32_t length) {
  const uint32_t kind = bits >> 28;
  if (broken_ || !bulk_.grants_came(bits >> 16 & 0xfffu)) return false;
  if (talk_->stream && (kind == kTrain || kind == kLane)) return false;
  switch (kind) {
    case kMessage:
      return !peer_ended_ && message_came(slot, length);
    case kTrain:
      return !peer_ended_ && train_came(slot, length);
    case kCredit:
      return length == 0;
    case kEnd:
      return length == 0 && !std::exchange(peer_ended_, true);
    case kLane:
      return bulk_.lane_came(slot, length);
    case kRecall:
      // Before the greeting nobody knows yet.
      return length == 0 && we_may_recall_ && (peer_may_recall_ || !greeted_);
    case kRefund:
      return length == 0 && refund_came(bits & 0x1fffu);
    default:
      return false;
  }
}

// Whether the library takes one of more than it has given depends on that, too.
bool Ledger::refund_came(uint32_t refund) {
  if (!std::exchange(we_recall_, false)) return false;
  peer_data_credits_ -= refund;
  peer_credits_ -= refund;
  return true;
}

bool Ledger::message_came(const char* slot, uint32_t length) {
  if (talk_->stream && length == 0) return false;
  talk_->incoming.push_back(
      std::make_shared<Incoming>(Incoming{slot, std::string(slot, length), length}));
  return true;
}

bool Ledger::train_came(const char* slot, uint32_t length) {
  std::deque<std::shared_ptr<Incoming>> messages;
  for (size_t at = 0; at < length;) {
    Record record;
    const size_t whole = record_at(slot + at, length - at, record);
    if (whole == 0) return false;
    if (record.announced) {
      const auto announced = bulk_.announcement_came(static_cast<uint32_t>(record.length));
      if (announced == nullptr) return false;
      messages.push_back(announced);
    } else {
      messages.push_back(std::make_shared<Incoming>(
          Incoming{slot + at + 8, std::string(slot + at + 8, record.length), record.length}));
    }
    at += whole;
  }
  if (messages.empty()) return false;
  talk_->incoming.insert(talk_->incoming.end(), messages.begin(), messages.end());
  return true;
}

void Ledger::came_up(uint32_t imm_data) {
  const uint32_t bits = ntohl(imm_data);
  const uint32_t data_credits = bits >> 28 == kRefund ? 0 : bits & 0x1fffu;
  peer_recalls_ |= bits >> 28 == kRecall;
  data_credits_ += data_credits;
  credits_ += data_credits + (bits >> 13 & 7);
  bulk_.grants_came_up(bits >> 16 & 0xfffu);
}

}  // namespace sio::test
