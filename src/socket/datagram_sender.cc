// SPDX-License-Identifier: BSD-2-Clause
#include "socket/datagram_sender.h"

#include <bit>
#include <utility>

#include "base/static_probe.h"

namespace sio::internal {
namespace {

// Adds bytes to the last piece if they follow it, or a piece. False: there are as many already.
bool add_piece(OutgoingDatagram& to, uint32_t most, const void* data, uint32_t length,
               uint32_t lkey) noexcept {
  const auto address = reinterpret_cast<uintptr_t>(data);
  if (to.count > 0) {
    ibv_sge& last = to.pieces[to.count - 1];
    if (!to.inlined && last.lkey == lkey && last.addr + last.length == address) {
      last.length += length;
      return true;
    }
  }
  if (to.count == std::min(most, OutgoingDatagram::kMostPieces)) return false;
  to.pieces[to.count++] = {address, length, lkey};
  return true;
}

}  // namespace

void DatagramSender::prepare(uint32_t quota) {
  link_.staging->join();
  joined_ = true;
  quota_ = quota;
  posts_.resize(std::bit_ceil(quota));  // so that the counts may wrap
}

DatagramSender::~DatagramSender() {
  if (!joined_) return;
  fail(ECONNABORTED);
  link_.staging->leave();
}

int DatagramSender::stage(const Gather& gather, uint16_t group_port, bool keep,
                          OutgoingDatagram& to) noexcept {
  const uint32_t trailer = group_port != 0 ? wire::kGroupTrailer : 0;
  const uint32_t most = link_.queue_pair->max_send_sge();
  to.length = gather.length;
  to.count = 0;
  to.inlined = !keep && gather.length + trailer <= link_.queue_pair->max_inline() &&
               gather.count + (trailer > 0) <= most;
  if (to.inlined) {
    for (uint32_t i = 0; i < gather.count; ++i) {
      const Gather::Piece& piece = gather.pieces[i];
      add_piece(to, most, piece.data, piece.length, 0);
    }
    wire::encode_trailer(group_port, &to.trailer);  // its piece is added by post()
    if (trailer > 0) add_piece(to, most, nullptr, trailer, 0);
    return 0;
  }
  if (gather.has_copied_pieces() || trailer > 0) {
    to.buffer = link_.staging->take(link_.buffers_held);
    if (to.buffer == nullptr) return -EAGAIN;
  }
  bool fits = true;
  uint32_t used = 0;  // of the buffer
  for (uint32_t i = 0; i < gather.count && fits; ++i) {
    const Gather::Piece& piece = gather.pieces[i];
    if (piece.lent) {
      fits = add_piece(to, most, piece.data, piece.length, piece.lkey);
      continue;
    }
    char* const copy = to.buffer->data + used;
    std::memcpy(copy, piece.data, piece.length);
    used += piece.length;
    fits = add_piece(to, most, copy, piece.length, to.buffer->lkey);
  }
  if (fits && trailer > 0) {
    wire::encode_trailer(group_port, to.buffer->data + used);
    fits = add_piece(to, most, to.buffer->data + used, trailer, to.buffer->lkey);
  }
  if (fits) return 0;
  give_up(to);
  return -EMSGSIZE;
}

void DatagramSender::give_up(OutgoingDatagram& message) noexcept {
  if (message.buffer != nullptr) link_.staging->give_back(message.buffer, link_.buffers_held);
  message.buffer = nullptr;
}

void DatagramSender::accept(const Gather& gather, const SendRecord* copied,
                            OutgoingDatagram& message) noexcept {
  message.first_record = outcomes_.next_place();
  message.records = copied != nullptr ? 1 : gather.lent;
  if (copied != nullptr) outcomes_.add(*copied);
  for (uint32_t i = 0; copied == nullptr && i < gather.lent; ++i) {
    outcomes_.add(gather.records[i]);
  }
  STATIC_PROBE(send, link_.fd, message.length, link_.info.messages_sent);
  ++link_.info.messages_sent;
  link_.info.bytes_sent += message.length;
}

int DatagramSender::post(OutgoingDatagram& message, const To& to, wire::DatagramTag tag) noexcept {
  ibv_sge& last = message.pieces[message.count > 0 ? message.count - 1 : 0];
  if (message.inlined && message.count > 0 && last.addr == 0) {
    last.addr = reinterpret_cast<uintptr_t>(&message.trailer);
  }
  ibv_send_wr wr{};
  wr.wr_id = link_.work_id(wire::Work::kSend, posted_);
  wr.sg_list = message.pieces.data();
  wr.num_sge = static_cast<int>(message.count);
  wr.opcode = IBV_WR_SEND_WITH_IMM;
  wr.imm_data = wire::encode_tag(tag);
  wr.send_flags = IBV_SEND_SIGNALED | IBV_SEND_SOLICITED;
  if (message.inlined) wr.send_flags |= IBV_SEND_INLINE;
  wr.wr.ud.ah = to->handle();
  wr.wr.ud.remote_qpn = to->queue_pair();
  wr.wr.ud.remote_qkey = to->key();
  ibv_send_wr* bad = nullptr;
  if (const int error = link_.queue_pair->post_send(&wr, &bad)) {
    drop(message, -error);
    return error;
  }
  at(posted_++) = {message.buffer, message.first_record, message.records, to};
  ++link_.info.sends_posted;
  link_.hub->posted();
  return 0;
}

void DatagramSender::drop(OutgoingDatagram& message, int error) noexcept {
  Post lost{message.buffer, message.first_record, message.records, nullptr};
  message.buffer = nullptr;
  STATIC_PROBE(error, link_.fd, error, link_.info.wc_status);
  finish(lost, error);
}

void DatagramSender::finish(Post& post, int error) noexcept {
  if (post.buffer != nullptr) link_.staging->give_back(post.buffer, link_.buffers_held);
  for (uint32_t i = 0; i < post.records; ++i) outcomes_.finish_at(post.first_record + i, error);
  post = {};
}

// In their order, all before it included.
void DatagramSender::completed(uint32_t index, int error) noexcept {
  const uint32_t upto = ((index - completed_) & wire::kWorkIdMask) + 1;
  if (upto > in_flight()) return;
  for (uint32_t i = 0; i < upto; ++i) {
    finish(at(completed_++), i + 1 == upto ? error : 0);
    link_.hub->completed();
  }
}

void DatagramSender::fail(int error) noexcept {
  while (!idle()) {
    finish(at(completed_++), error);
    link_.hub->completed();
  }
}

}  // namespace sio::internal
