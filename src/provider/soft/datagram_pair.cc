// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/datagram_pair.h"

#include <sys/epoll.h>
#include <sys/uio.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "provider/soft/addresses.h"
#include "provider/soft/memory_table.h"
#include "provider/soft/numbers.h"

namespace sio::internal::provider::soft {
namespace {

constexpr uint32_t kMostInline = 512;
constexpr uint32_t kMostPieces = 32;
constexpr int kReadsInARow = 16;  // before others have their turn

using Kind = DatagramHeader::Kind;

void* pointer(const ibv_sge& piece) noexcept {
  return reinterpret_cast<void*>(static_cast<uintptr_t>(piece.addr));
}

size_t length_of(const ibv_send_wr& wr) noexcept {
  size_t length = 0;
  for (int i = 0; i < wr.num_sge; ++i) length += wr.sg_list[i].length;
  return length;
}

}  // namespace

SoftDatagramPair::SoftDatagramPair(const DatagramSocket& socket, const MemoryTable& memory,
                                   SoftCompletionQueue& queue, const QueueSizes& sizes)
    : socket_(socket),
      memory_(memory),
      queue_(queue),
      channel_(queue.channel()),
      number_(next_number()),
      max_inline_(std::min(sizes.inline_bytes, kMostInline)),
      max_send_sge_(std::clamp(sizes.send_sge, 1u, kMostPieces)),
      receives_(sizes.recv_wr) {
  if (sizes.shared_recv != nullptr) throw_errno(EOPNOTSUPP, "shared receives for datagrams");
  const std::lock_guard lock(channel_.mutex());
  channel_.add(this);
  if (const int error = channel_.watch(this, socket_.fd, EPOLLIN)) {
    channel_.remove(this);
    throw_errno(-error, "epoll_ctl");
  }
}

SoftDatagramPair::~SoftDatagramPair() {
  const std::lock_guard lock(channel_.mutex());
  if (!failed_) channel_.forget(socket_.fd);
  channel_.remove(this);
}

void SoftDatagramPair::fail() noexcept {
  const std::lock_guard lock(channel_.mutex());
  flush();
}

bool SoftDatagramPair::covers(const ibv_sge& place, bool to_write) const noexcept {
  return place.length == 0 || memory_.covers(place.lkey, place.addr, place.length, to_write);
}

// --------------------------------------------------------------------------------------- sending

int SoftDatagramPair::post_send(ibv_send_wr* chain, ibv_send_wr** bad) noexcept {
  const std::lock_guard lock(channel_.mutex());
  for (; chain != nullptr; chain = chain->next) {
    if (const int error = post_one(*chain)) {
      *bad = chain;
      return error;
    }
  }
  return 0;
}

int SoftDatagramPair::post_one(const ibv_send_wr& wr) noexcept {
  if (wr.opcode != IBV_WR_SEND && wr.opcode != IBV_WR_SEND_WITH_IMM) return -EINVAL;
  const bool inlined = (wr.send_flags & IBV_SEND_INLINE) != 0;
  if (wr.num_sge < 0 || static_cast<uint32_t>(wr.num_sge) > max_send_sge_) return -EINVAL;
  if (wr.wr.ud.ah == nullptr || (inlined && length_of(wr) > max_inline_)) return -EINVAL;
  if (failed_) {
    complete(wr.wr_id, IBV_WC_SEND, IBV_WC_WR_FLUSH_ERR);
    return 0;
  }
  const auto ours = [this](const ibv_sge& piece) { return covers(piece); };
  ibv_wc_status status = IBV_WC_SUCCESS;
  if (length_of(wr) > kDatagramMtu) {
    status = IBV_WC_LOC_LEN_ERR;
  } else if (!inlined && !std::all_of(wr.sg_list, wr.sg_list + wr.num_sge, ours)) {
    status = IBV_WC_LOC_PROT_ERR;
  } else {
    write(wr);
  }
  if (status != IBV_WC_SUCCESS || (wr.send_flags & IBV_SEND_SIGNALED) != 0) {
    complete(wr.wr_id, IBV_WC_SEND, status);
  }
  if (status != IBV_WC_SUCCESS) flush();
  return 0;
}

// Whatever keeps the kernel from taking it loses it, as a network might have.
void SoftDatagramPair::write(const ibv_send_wr& wr) noexcept {
  const bool immediate = wr.opcode == IBV_WR_SEND_WITH_IMM;
  DatagramHeader header;
  header.kind = immediate ? Kind::kMessageImmediate : Kind::kMessage;
  if ((wr.send_flags & IBV_SEND_SOLICITED) != 0) header.flags = DatagramHeader::kSolicited;
  header.destination = wr.wr.ud.remote_qpn;
  header.source = number_;
  header.key = wr.wr.ud.remote_qkey;
  if (immediate) header.immediate = wr.imm_data;
  DatagramBytes bytes = encode(header);
  iovec pieces[1 + kMostPieces] = {{bytes.data(), bytes.size()}};
  for (int i = 0; i < wr.num_sge; ++i) {
    pieces[1 + i] = {pointer(wr.sg_list[i]), wr.sg_list[i].length};
  }
  auto& to = static_cast<SoftAddressHandle*>(wr.wr.ud.ah)->address;
  msghdr message{};
  message.msg_name = &to;
  message.msg_namelen = size_of(reinterpret_cast<const sockaddr*>(&to));
  message.msg_iov = pieces;
  message.msg_iovlen = 1 + static_cast<size_t>(wr.num_sge);
  if (sendmsg(socket_.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    LOG_DEBUG("soft QP %u: a datagram is lost: %s", number_, errno_text(errno));
  }
}

// ------------------------------------------------------------------------------------- receiving

int SoftDatagramPair::post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept {
  const std::lock_guard lock(channel_.mutex());
  const int error = receives_.post(chain, bad);
  if (failed_) flush();
  return error;
}

bool SoftDatagramPair::advance() noexcept {
  int reads = 0;
  while (reads < kReadsInARow && !failed_ && read_one()) ++reads;
  return reads > 0;
}

// One datagram, straight to its place. False: there is none.
bool SoftDatagramPair::read_one() noexcept {
  DatagramBytes bytes;
  iovec pieces[2] = {{bytes.data(), bytes.size()}, {}};
  sockaddr_storage from{};
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = pieces;
  message.msg_iovlen = 1;
  if (!receives_.empty()) {
    const Receive& next = receives_.at(0);
    if (!covers(next.place, true)) {
      complete(receives_.pop().wr_id, IBV_WC_RECV, IBV_WC_LOC_PROT_ERR);
      flush();
      return true;
    }
    if (next.place.length >= kGrhBytes) {
      pieces[1] = {next.data() + kGrhBytes, next.place.length - kGrhBytes};
      message.msg_iovlen = 2;
    }
  }
  const ssize_t n = recvmsg(socket_.fd, &message, MSG_DONTWAIT);
  if (n < 0) return errno != EAGAIN && errno != EINTR;  // an error of an earlier send: it is lost
  DatagramHeader header;
  const auto whole = static_cast<size_t>(n);
  if (whole < bytes.size() || whole > bytes.size() + kDatagramMtu) return true;
  if (!decode(bytes, header)) return true;
  if (header.kind == Kind::kWho) {
    answer(header, from);
  } else if (header.kind != Kind::kHere && header.destination == number_ &&
             header.key == kDatagramKey && message.msg_iovlen == 2 &&
             (message.msg_flags & MSG_TRUNC) == 0) {
    received(header, from, whole - bytes.size());
  }
  return true;
}

void SoftDatagramPair::received(const DatagramHeader& header, const sockaddr_storage& from,
                                size_t size) noexcept {
  const Receive receive = receives_.pop();
  write_grh(receive.data(), from, socket_.local, size);
  ibv_wc wc{};
  wc.wr_id = receive.wr_id;
  wc.status = IBV_WC_SUCCESS;
  wc.opcode = IBV_WC_RECV;
  wc.byte_len = static_cast<uint32_t>(kGrhBytes + size);
  wc.qp_num = number_;
  wc.src_qp = header.source;
  wc.wc_flags = IBV_WC_GRH;
  if (header.kind == Kind::kMessageImmediate) {
    wc.wc_flags |= IBV_WC_WITH_IMM;
    wc.imm_data = header.immediate;
  }
  queue_.push(wc, (header.flags & DatagramHeader::kSolicited) != 0);
}

// No longer than the question, so that nobody can be flooded by way of us.
void SoftDatagramPair::answer(const DatagramHeader& question,
                              const sockaddr_storage& from) noexcept {
  DatagramHeader header;
  header.kind = Kind::kHere;
  header.source = socket_.can_be_found ? number_ : 0;
  header.key = kDatagramKey;
  header.immediate = question.immediate;
  const DatagramBytes bytes = encode(header);
  const auto* to = reinterpret_cast<const sockaddr*>(&from);
  sendto(socket_.fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL, to, size_of(to));
}

// ----------------------------------------------------------------------------------- completions

void SoftDatagramPair::complete(uint64_t wr_id, ibv_wc_opcode opcode,
                                ibv_wc_status status) noexcept {
  ibv_wc wc{};
  wc.wr_id = wr_id;
  wc.status = status;
  wc.opcode = opcode;
  wc.qp_num = number_;
  queue_.push(wc, status != IBV_WC_SUCCESS);
}

void SoftDatagramPair::flush() noexcept {
  if (!failed_) channel_.forget(socket_.fd);
  failed_ = true;
  while (!receives_.empty()) complete(receives_.pop().wr_id, IBV_WC_RECV, IBV_WC_WR_FLUSH_ERR);
}

}  // namespace sio::internal::provider::soft
