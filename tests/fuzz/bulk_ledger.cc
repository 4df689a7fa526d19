// SPDX-License-Identifier: BSD-2-Clause
#include "bulk_ledger.h"

#include <algorithm>

#include "must.h"

namespace sio::test {
namespace {

constexpr size_t kPiece = 1u << 20;
constexpr uint32_t kMostAnnounced = 64;

uint32_t piece_of(const Incoming& message, size_t before) {
  return static_cast<uint32_t>(std::min(kPiece, message.length - before));
}

}  // namespace

// ----------------------------------------------------------------------------------------- of ours

void BulkLedger::lane_sent(const std::string& payload, uint32_t number) {
  MUST(!told_ && payload.size() == 8);
  MUST(number_at(payload.data()) == number && number_at(payload.data() + 4) <= 0xffffff);
  told_ = true;
}

void BulkLedger::announced(const std::string& message) {
  MUST(told_ && message.size() > peers_.slot_size && message.size() <= peers_.most);
  outgoing_.push_back(message);
  ++announced_;
  MUST(announced_ <= granted_ + kMostAnnounced);
}

bool BulkLedger::sent(const std::string& piece) {
  MUST(left_ < granted_ && !outgoing_.empty());
  const std::string& message = outgoing_.front();
  MUST(piece.size() == std::min(kPiece, message.size() - sent_));
  MUST(message.compare(sent_, piece.size(), piece) == 0);
  sent_ += piece.size();
  if (sent_ < message.size()) return false;
  outgoing_.pop_front();
  sent_ = 0;
  ++left_;
  return true;
}

uint32_t BulkLedger::to_grant() const {
  return announced_ < on_their_way_ ? 0 : static_cast<uint32_t>(announced_ - on_their_way_);
}

// ----------------------------------------------------------------------------------- of the peer's

bool BulkLedger::lane_came(const char* payload, uint32_t length) {
  if (heard_ || length != 8) return false;
  if (number_at(payload) > 0xffffff || number_at(payload + 4) > 0xffffff) return false;
  return heard_ = true;
}

// That it is one too many our end may see otherwise: it may have granted more meanwhile.
std::shared_ptr<Incoming> BulkLedger::announcement_came(uint32_t length) {
  if (!heard_ || length <= ours_.slot_size || length > ours_.most) return nullptr;
  incoming_.push_back({std::make_shared<Incoming>(Incoming{nullptr, "", length})});
  return incoming_.back().what;
}

void BulkLedger::posted(const char* at, uint32_t length) {
  MUST(posted_ < incoming_.size());
  Message& message = incoming_[posted_];
  MUST(length == piece_of(*message.what, message.posted));
  if (message.posted == 0) message.what->at = at;
  MUST(at == message.what->at + message.posted);
  message.posted += length;
  if (message.posted == message.what->length) ++posted_;
}

void BulkLedger::grants_sent(uint32_t n) {
  MUST(n == 0 || told_);
  MUST((grants_ += n) <= posted_);
}

void BulkLedger::came(bool plain, const char* at, size_t length) {
  MUST(come_ < incoming_.size());
  Incoming& message = *incoming_[come_].what;
  if (!plain || length != piece_of(message, message.bytes.size())) broken_ = true;
  if (broken_) return;
  MUST(at == message.at + message.bytes.size());
  message.bytes.append(at, length);
  if (message.is_whole()) ++come_;
}

uint32_t BulkLedger::may_announce() const {
  const size_t waiting = incoming_.size() - grants_;
  return heard_ && waiting < kMostAnnounced ? static_cast<uint32_t>(kMostAnnounced - waiting) : 0;
}

uint32_t BulkLedger::due() const {
  if (come_ >= incoming_.size()) return 0;
  const Incoming& message = *incoming_[come_].what;
  return piece_of(message, message.bytes.size());
}

}  // namespace sio::test
