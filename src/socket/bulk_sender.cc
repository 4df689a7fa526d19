// SPDX-License-Identifier: BSD-2-Clause
#include "socket/bulk_sender.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/static_probe.h"

namespace sio::internal {
namespace {

constexpr uint32_t kMostUnsignalledBulk = 16;

}  // namespace

BulkSender::BulkSender(Link& link, Lane& lane, Outcomes& outcomes)
    : link_(link),
      lane_(lane),
      outcomes_(outcomes),
      messages_(std::make_unique<std::array<Message, wire::kMaxAnnounced>>()) {}

int BulkSender::stage(const Gather& gather) noexcept {
  if (!has_room()) return -EAGAIN;
  if (gather.count > std::min(lane_.pair->max_send_sge(), kMaxGather)) return -EMSGSIZE;
  Message& message = at(tail_);
  message = {};
  if (!gather.has_copied_pieces()) return 0;
  message.buffer = link_.staging->take(link_.buffers_held);
  return message.buffer != nullptr ? 0 : -EAGAIN;
}

void BulkSender::give_up() noexcept {
  StagingBuffer* const buffer = std::exchange(at(tail_).buffer, nullptr);
  if (buffer != nullptr) link_.staging->put_back(buffer, link_.buffers_held);
}

void BulkSender::announced(const Gather& gather) noexcept {
  Message& message = at(tail_++);
  char* to = message.buffer != nullptr ? message.buffer->data : nullptr;
  for (uint32_t i = 0; i < gather.count; ++i) {
    const Gather::Piece& piece = gather.pieces[i];
    ibv_sge& sge = message.sges[message.count++];
    sge = {reinterpret_cast<uintptr_t>(piece.data), piece.length, piece.lkey};
    if (piece.lent) continue;
    std::memcpy(to, piece.data, piece.length);
    sge.addr = reinterpret_cast<uintptr_t>(to);
    sge.lkey = message.buffer->lkey;
    to += piece.length;
  }
  message.length = gather.length;
  message.records = gather.lent;
  for (uint32_t i = 0; i < gather.lent; ++i) outcomes_.add_bulk(gather.records[i]);
  STATIC_PROBE(send, link_.fd, gather.length, link_.info.messages_sent);
  ++link_.info.messages_sent;
  ++link_.info.bulk_sent;
  link_.info.bytes_sent += gather.length;
}

bool BulkSender::granted(uint32_t n, uint32_t announced) noexcept {
  if (n > announced - granted_) return false;
  STATIC_PROBE(grant_received, link_.fd, n, granted_);
  granted_ += n;
  return true;
}

int BulkSender::pump() noexcept {
  while (next_ != granted_ && can_post()) post_piece(at(next_));
  return post_error_;
}

void BulkSender::post_piece(Message& message) noexcept {
  ibv_sge sges[kMaxGather];
  int count = 0;
  uint32_t left = std::min(wire::kBulkPiece, message.length - message.sent);
  message.sent += left;
  while (left > 0) {
    const ibv_sge& from = message.sges[message.entry];
    const uint32_t part = std::min(left, from.length - message.skip);
    sges[count++] = {from.addr + message.skip, part, from.lkey};
    left -= part;
    message.skip += part;
    if (message.skip == from.length) {
      ++message.entry;
      message.skip = 0;
    }
  }
  ibv_send_wr wr{};
  wr.opcode = IBV_WR_SEND;
  wr.sg_list = sges;
  wr.num_sge = count;
  const bool last = message.sent == message.length;
  if (last) {
    wr.send_flags = IBV_SEND_SOLICITED;  // what came before it is no message yet
    message.end = posted_ + 1;
    ++next_;
  }
  post(wr, last || unsignalled_ + 1 >= kMostUnsignalledBulk);
}

void BulkSender::post(ibv_send_wr& wr, bool signal) noexcept {
  wr.wr_id = lane_.work_id(wire::Work::kBulkSend, posted_);
  if (signal) wr.send_flags |= IBV_SEND_SIGNALED;
  ++posted_;
  unsignalled_ = signal ? 0 : unsignalled_ + 1;
  lane_.hub->posted();
  ibv_send_wr* bad;
  const int error = lane_.pair->post_send(&wr, &bad);
  if (error != 0 && post_error_ == 0) post_error_ = -error;
}

uint32_t BulkSender::mark_end() noexcept {
  const uint32_t index = posted_ & wire::kWorkIdMask;
  ibv_send_wr wr{};
  wr.opcode = IBV_WR_RDMA_WRITE;
  post(wr, true);
  return index;
}

void BulkSender::completed(uint32_t index) noexcept {
  const uint32_t distance = (index - completed_) & wire::kWorkIdMask;
  if (distance < posted_ - completed_) finish_posted(completed_ + distance + 1);
}

// All before the first that failed were acknowledged.
void BulkSender::failed(uint32_t index) noexcept {
  const uint32_t distance = (index - completed_) & wire::kWorkIdMask;
  if (std::exchange(failing_, true)) return;
  if (distance < posted_ - completed_) finish_posted(completed_ + distance);
}

void BulkSender::finish_posted(uint32_t upto) noexcept {
  for (; completed_ != upto; ++completed_) {
    lane_.hub->completed();
    if (done_ != next_ && at(done_).end == completed_ + 1) finish(at(done_), 0);
  }
}

void BulkSender::finish(Message& message, int error) noexcept {
  ++done_;
  if (message.buffer != nullptr) link_.staging->give_back(message.buffer, link_.buffers_held);
  outcomes_.finish_bulk(message.records, error);
}

void BulkSender::fail(int error) noexcept {
  for (; completed_ != posted_; ++completed_) lane_.hub->completed();
  while (done_ != tail_) finish(at(done_), error);
  next_ = granted_ = tail_;
}

}  // namespace sio::internal
