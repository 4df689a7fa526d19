// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/outlet.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "provider/soft/memory_table.h"

namespace sio::internal::provider::soft {
namespace {

// False: not something that the soft provider does.
bool translate(ibv_wr_opcode from, Opcode& to, ibv_wc_opcode& completion) noexcept {
  completion = IBV_WC_SEND;
  switch (from) {
    case IBV_WR_SEND:
      to = Opcode::kSend;
      return true;
    case IBV_WR_SEND_WITH_IMM:
      to = Opcode::kSendImmediate;
      return true;
    case IBV_WR_RDMA_WRITE:
      to = Opcode::kWrite;
      completion = IBV_WC_RDMA_WRITE;
      return true;
    case IBV_WR_RDMA_WRITE_WITH_IMM:
      to = Opcode::kWriteImmediate;
      completion = IBV_WC_RDMA_WRITE;
      return true;
    default:
      return false;
  }
}

}  // namespace

void Outlet::Pieces::add(const void* data, size_t n) noexcept {
  if (skip >= n) {
    skip -= n;
    return;
  }
  list[count++] = {const_cast<char*>(static_cast<const char*>(data)) + skip, n - skip};
  total += n - skip;
  skip = 0;
}

// The call for one piece is the cheaper one.
ssize_t Outlet::Pieces::send(int fd) const noexcept {
  constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
  if (count == 1) return ::send(fd, list[0].iov_base, list[0].iov_len, kFlags);
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(list);
  message.msg_iovlen = count;
  return sendmsg(fd, &message, kFlags);
}

Outlet::Outlet(const MemoryTable& memory, uint32_t capacity, uint32_t most_entries,
               uint32_t inline_bytes)
    : memory_(memory),
      capacity_(capacity),
      most_entries_(std::max(1u, most_entries)),
      inline_bytes_(inline_bytes),
      sends_(capacity),
      lists_(capacity, most_entries_),
      heads_(capacity, FrameHeader::kSize + inline_bytes) {}

void Outlet::grow(uint32_t requests) {
  const uint32_t capacity = capacity_ + requests;
  Cyclic<Send> sends(capacity);
  Cyclic<ibv_sge> lists(capacity, most_entries_);
  const size_t head = FrameHeader::kSize + inline_bytes_;
  Cyclic<char> heads(capacity, head);
  for (uint64_t i = done_; i != posted_; ++i) {
    sends[i] = sends_[i];
    std::copy_n(&lists_[i], most_entries_, &lists[i]);
    std::copy_n(&heads_[i], head, &heads[i]);
  }
  sends_ = std::move(sends);
  lists_ = std::move(lists);
  heads_ = std::move(heads);
  capacity_ = capacity;
}

int Outlet::post(const ibv_send_wr& wr, bool second) noexcept {
  if (outstanding() == capacity_) return -ENOMEM;
  Send& send = sends_[posted_];
  send = {};
  send.wr_id = wr.wr_id;
  send.second = second;
  if (second) send.header.flags |= FrameHeader::kSecond;
  send.signalled = (wr.send_flags & IBV_SEND_SIGNALED) != 0;
  send.inlined = (wr.send_flags & IBV_SEND_INLINE) != 0;
  const auto entries = static_cast<uint32_t>(wr.num_sge);
  if (wr.num_sge < 0 || entries > most_entries_) return -EINVAL;
  if (!translate(wr.opcode, send.header.opcode, send.opcode)) return -EINVAL;
  uint64_t length = 0;
  for (uint32_t i = 0; i < entries; ++i) length += wr.sg_list[i].length;
  // Nothing may be written to a peer: the library has no use for that.
  if (length > UINT32_MAX || (length > 0 && send.opcode == IBV_WC_RDMA_WRITE)) return -EINVAL;
  send.header.length = static_cast<uint32_t>(length);
  if (has_immediate(send.header.opcode)) send.header.immediate = wr.imm_data;
  if ((wr.send_flags & IBV_SEND_SOLICITED) != 0) send.header.flags |= FrameHeader::kSolicited;
  // Half of the queue that nobody asks about: else it would never empty.
  if (send.signalled || outstanding() >= capacity_ / 2) {
    send.header.flags |= FrameHeader::kWantsAcknowledgement;
  }
  if (!send.inlined) {
    send.entries = entries;
    std::copy_n(wr.sg_list, entries, &lists_[posted_]);
  } else {
    if (length > inline_bytes_) return -EINVAL;
    char* to = &heads_[posted_] + FrameHeader::kSize;
    for (uint32_t i = 0; i < entries; ++i) {
      const ibv_sge& from = wr.sg_list[i];
      if (from.length == 0) continue;
      std::memcpy(to, reinterpret_cast<const void*>(static_cast<uintptr_t>(from.addr)),
                  from.length);
      to += from.length;
    }
  }
  ++posted_;
  return 0;
}

void Outlet::announce(Opcode opcode, uint16_t status, uint8_t flags) noexcept {
  announced_ = {};
  announced_.opcode = opcode;
  announced_.status = status;
  announced_.flags = flags;
}

// Between two frames only.
void Outlet::compose_control(uint32_t taken, bool acknowledge) noexcept {
  if (control_left_ > 0 || offset_ > 0) return;
  FrameHeader header = announced_;
  if (header.opcode == Opcode{}) {
    if (!acknowledge || (written_ != posted_ && !stopped())) return;  // else the next request tells
    header.opcode = Opcode::kAcknowledge;
  }
  announced_ = {};
  header.taken = told_ = taken;
  encode(header, control_.data());
  control_left_ = FrameHeader::kSize;
}

// Only now: memory may have been given up since it was posted.
bool Outlet::may_go(const Send& send, uint64_t index) const noexcept {
  if (send.fate != IBV_WC_SUCCESS) return false;
  if (send.inlined) return true;
  return std::all_of(&lists_[index], &lists_[index] + send.entries, [this](const ibv_sge& entry) {
    return entry.length == 0 || memory_.covers(entry.lkey, entry.addr, entry.length);
  });
}

void Outlet::collect(Pieces& pieces, uint32_t taken) noexcept {
  if (control_left_ > 0) {
    pieces.add(control_.data() + FrameHeader::kSize - control_left_, control_left_);
  }
  pieces.skip = offset_;
  for (uint64_t i = written_; i != posted_; ++i) {
    Send& send = sends_[i];
    if (pieces.count + 1 + send.entries > kMostPieces) return;
    if (!may_go(send, i)) {
      send.fate = IBV_WC_LOC_PROT_ERR;
      return;
    }
    char* const header = &heads_[i];
    if (pieces.skip == 0) {
      send.header.taken = told_ = taken;
      encode(send.header, header);
    }
    pieces.add(header, FrameHeader::kSize + (send.inlined ? send.header.length : 0));
    for (uint32_t j = 0; j < send.entries; ++j) {
      const ibv_sge& entry = (&lists_[i])[j];
      pieces.add(reinterpret_cast<const void*>(static_cast<uintptr_t>(entry.addr)), entry.length);
    }
  }
}

void Outlet::advance(size_t n) noexcept {
  const size_t control = std::min(n, control_left_);
  control_left_ -= control;
  n -= control;
  offset_ += n;
  while (written_ != posted_) {
    const size_t whole = FrameHeader::kSize + sends_[written_].header.length;
    if (offset_ < whole) return;
    offset_ -= whole;
    ++written_;
  }
}

Outlet::Result Outlet::write(int fd, uint32_t taken, bool acknowledge) noexcept {
  for (;;) {
    compose_control(taken, acknowledge);
    Pieces pieces;
    collect(pieces, taken);
    blocked_ = false;
    if (pieces.count == 0) return Result::kAll;
    const ssize_t n = pieces.send(fd);
    if (n < 0) {
      if (errno == EINTR) continue;
      error_ = errno;
      blocked_ = error_ == EAGAIN;
      if (error_ == EFAULT) sends_[written_].fate = IBV_WC_LOC_PROT_ERR;
      return blocked_ ? Result::kBlocked : Result::kError;
    }
    advance(static_cast<size_t>(n));
    blocked_ = static_cast<size_t>(n) < pieces.total;
    if (blocked_) return Result::kBlocked;
    if (written_ == posted_ && !announcing()) return Result::kAll;
  }
}

}  // namespace sio::internal::provider::soft
