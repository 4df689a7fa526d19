// SPDX-License-Identifier: BSD-2-Clause
#include "socket/bulk_receiver.h"

#include <algorithm>

#include "base/static_probe.h"

namespace sio::internal {
namespace {

// Receives of small large messages that may be posted at once.
constexpr uint32_t kFewReceives = 64;

}  // namespace

uint32_t BulkReceiver::queue_size(const BulkPool* pool) noexcept {
  if (pool == nullptr) return 1;
  return std::max(kFewReceives, bulk_pieces(std::min<uint64_t>(pool->size(), wire::kMaxMessage)));
}

BulkReceiver::BulkReceiver(Link& link, Lane& lane, BulkPool* pool, BulkTurns* turns,
                           CompletionHandler* handler)
    : link_(link),
      lane_(lane),
      pool_(pool),
      turns_(turns),
      turn_(handler),
      receives_(queue_size(pool)),
      messages_(std::make_unique<std::array<Message, kRing>>()) {}

BulkReceiver::~BulkReceiver() {
  end();
  drop_all();
}

bool BulkReceiver::announced(uint32_t length) noexcept {
  if (!lane_.connected || pool_ == nullptr || length <= link_.info.slot_size ||
      length > pool_->size() || length > wire::kMaxMessage ||
      announced_ - granted_ == wire::kMaxAnnounced) {
    return false;
  }
  at(announced_++) = {nullptr, length, 0};
  return true;
}

int BulkReceiver::grant() noexcept {
  int granted = 0;
  bool waits = false;
  while (lane_.connected && granted_ != announced_ && granted_ - taken_ < kMostGranted) {
    Message& message = at(granted_);
    if (bulk_pieces(message.length) > receives_ - posted_) break;
    message.block = take_memory(message);
    if (message.block == 0) {
      ++link_.info.bulk_stalls;
      waits = true;
      break;
    }
    STATIC_PROBE(grant_given, link_.fd, message.length, granted_);
    ++granted_;  // in any case: what was posted of it may still be written to
    if (const int error = post(message)) return error;
    ++granted;
  }
  if (!waits) stop();
  return granted;
}

uint32_t BulkReceiver::take_memory(Message& message) noexcept {
  if (turns_ == nullptr) return pool_->take(message.length, message.data);
  const uint32_t block = turns_->may_take(turn_) ? pool_->take(message.length, message.data) : 0;
  block != 0 ? turns_->pass(turn_) : turns_->wait(turn_);
  return block;
}

int BulkReceiver::post(const Message& message) noexcept {
  const uint32_t lkey = pool_->area().lkey(link_.device->index());
  for (uint32_t at = 0; at < message.length; at += wire::kBulkPiece) {
    ibv_sge sge{reinterpret_cast<uintptr_t>(message.data) + at,
                std::min(wire::kBulkPiece, message.length - at), lkey};
    ibv_recv_wr wr{lane_.work_id(wire::Work::kBulkReceive, 0), nullptr, &sge, 1};
    ibv_recv_wr* bad;
    if (const int error = lane_.pair->post_recv(&wr, &bad)) return error;
    ++posted_;
  }
  return 0;
}

// In the order of the receives, each of which has room for what is due and no more.
bool BulkReceiver::completed(uint32_t length) noexcept {
  --posted_;
  if (arrived_ == granted_) return false;
  const Message& message = at(arrived_);
  if (length != std::min(wire::kBulkPiece, message.length - come_)) return false;
  come_ += length;
  if (come_ == message.length) {
    come_ = 0;
    ++arrived_;
    pass_over_dropped();
  }
  return true;
}

bool BulkReceiver::expects(uint32_t length) const noexcept {
  return taken_ != announced_ && at(taken_).length == length;
}

bool BulkReceiver::take() noexcept {
  pool_->hand_out(at(taken_++).block);
  ++link_.info.bulk_received;
  return granted_ != announced_;
}

void BulkReceiver::drop_all() noexcept {
  dropped_ = announced_;
  pass_over_dropped();
}

void BulkReceiver::pass_over_dropped() noexcept {
  while (taken_ != arrived_ && dropped_ - taken_ - 1 < kRing) pool_->give_back(at(taken_++).block);
}

void BulkReceiver::end() noexcept {
  stop();
  for (uint32_t i = granted_; i != arrived_;) pool_->give_back(at(--i).block);
  cut_ = cut_ || announced_ != arrived_;
  granted_ = announced_ = arrived_;
}

}  // namespace sio::internal
