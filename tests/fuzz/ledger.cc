// SPDX-License-Identifier: BSD-2-Clause
#include "ledger.h"

#include <arpa/inet.h>

#include <cstring>

#include "must.h"
#include "wire/frame.h"

namespace sio::test {
namespace {

enum Kind : uint32_t { kMessage = 1, kTrain = 2, kCredit = 3, kEnd = 4 };
constexpr uint32_t kControlSlots = 4;
constexpr size_t kMostInTrain = 8192;

uint32_t number_at(const char* at) {
  uint32_t number;
  std::memcpy(&number, at, sizeof number);
  return ntohl(number);
}

// The record of a train at `at`: how many bytes it takes in all, 0 if it is none.
// Announcements come to nothing: the puppet has no second queue pair.
size_t record_at(const char* at, size_t left, size_t& length) {
  if (left < 16) return 0;
  length = number_at(at);
  const size_t whole = 8 + (length == 0 ? 8 : (length + 7) / 8 * 8);
  return whole <= left && number_at(at + 4) == 0 ? whole : 0;
}

}  // namespace

void Ledger::peer_says(const internal::wire::Hello& hello) {
  greeted_ = true;
  slot_size_ = hello.slot_size;
  data_credits_ += hello.slots;
  credits_ += hello.slots + kControlSlots;
}

void Ledger::we_say(const internal::wire::Hello& hello) { told_ += hello.slots; }

void Ledger::sent(uint32_t imm_data, const std::string& payload) {
  const uint32_t bits = ntohl(imm_data);
  const uint32_t kind = bits >> 28;
  MUST(greeted_ && (bits & 0x0fff0000u) == 0 && kind >= kMessage && kind <= kEnd);
  MUST(payload.size() <= slot_size_);
  const bool data = kind == kMessage || kind == kTrain;
  MUST(credits_ > (data ? 2 : kind == kCredit && !we_ended_ ? 1 : 0));
  MUST(!data || data_credits_ > 0);
  --credits_;
  if (data) --data_credits_;
  told_ += bits & internal::wire::kMaxCredits;
  MUST(!we_ended_ || !data);
  MUST(data || payload.empty());
  if (kind == kMessage) sent_message(payload);
  if (kind == kTrain) sent_train(payload);
  MUST(kind != kEnd || !we_ended_);
  we_ended_ |= kind == kEnd;
}

void Ledger::sent_message(const std::string& message) {
  MUST(!talk_->outgoing.empty() && talk_->outgoing.front() == message);
  talk_->outgoing.pop_front();
}

void Ledger::sent_train(const std::string& payload) {
  MUST(payload.size() <= kMostInTrain);
  int records = 0;
  for (size_t at = 0; at < payload.size(); ++records) {
    size_t length;
    const size_t whole = record_at(payload.data() + at, payload.size() - at, length);
    MUST(whole != 0);
    sent_message(payload.substr(at + 8, length));
    for (size_t i = 8 + length; i < whole; ++i) MUST(payload[at + i] == 0);
    at += whole;
  }
  MUST(records >= 1);
}

void Ledger::came(bool send_with_imm, uint32_t imm_data, const char* slot, uint32_t length) {
  const uint32_t bits = ntohl(imm_data);
  const uint32_t kind = bits >> 28;
  const bool data = kind == kMessage || kind == kTrain;
  if (!send_with_imm || (bits & 0x0fff0000u) != 0 || kind < kMessage || kind > kEnd ||
      (!data && length != 0) || (peer_ended_ && kind != kCredit) || (data && told_ == 0)) {
    broken_ = true;
  }
  if (broken_) return;
  if (data) --told_;
  if (kind == kMessage) talk_->incoming.push_back({slot, std::string(slot, length)});
  if (kind == kTrain && !train_came(slot, length)) broken_ = true;
  peer_ended_ |= kind == kEnd;
}

bool Ledger::train_came(const char* slot, uint32_t length) {
  std::deque<Incoming> messages;
  for (size_t at = 0; at < length;) {
    size_t size;
    const size_t whole = record_at(slot + at, length - at, size);
    if (whole == 0) return false;
    messages.push_back({slot + at + 8, std::string(slot + at + 8, size)});
    at += whole;
  }
  if (messages.empty()) return false;
  talk_->incoming.insert(talk_->incoming.end(), messages.begin(), messages.end());
  return true;
}

void Ledger::credits_came(uint32_t imm_data) {
  const uint32_t bits = ntohl(imm_data);
  const uint32_t data = bits & internal::wire::kMaxCredits;
  data_credits_ += data;
  credits_ += data + (bits >> 13 & internal::wire::kMaxControl);
}

}  // namespace sio::test
