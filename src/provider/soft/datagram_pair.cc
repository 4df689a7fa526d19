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

constexpr uint32_t kMostInlineDatagram = 512;
constexpr uint32_t kMostPieces = 32;
constexpr int kDatagramReadsInARow = 16;  // before others have their turn

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

// Where what is sent to a group comes in. All members on this host have such a socket, and each
// gets all. The kernel takes its end as the end of its membership.
class SoftDatagramPair::Group final : public Attended {
 public:
  Group(SoftDatagramPair& pair, OwnFd fd, const sockaddr_storage& address) noexcept
      : pair_(pair), fd_(std::move(fd)), address_(address) {}

  Watched watched() const noexcept override {
    return {fd_.get(), pair_.failed_ ? 0u : uint32_t{EPOLLIN}};
  }
  bool advance() noexcept override { return pair_.read(fd_.get(), address_, true); }
  const sockaddr_storage& address() const noexcept { return address_; }

 private:
  SoftDatagramPair& pair_;
  OwnFd fd_;
  const sockaddr_storage address_;
};

SoftDatagramPair::SoftDatagramPair(const DatagramSocket& socket, const MemoryTable& memory,
                                   SoftCompletionQueue& queue, const QueueSizes& sizes)
    : socket_(socket),
      memory_(memory),
      queue_(queue),
      channel_(queue.channel()),
      number_(next_number()),
      max_inline_(std::min(sizes.inline_bytes, kMostInlineDatagram)),
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
  forget_all();
  for (const auto& group : groups_) channel_.remove(group.get());
  channel_.remove(this);
}

// Nothing wakes for it any more.
void SoftDatagramPair::forget_all() noexcept {
  if (failed_) return;
  channel_.forget(socket_.fd);
  for (const auto& group : groups_) channel_.forget(group->watched().fd);
}

int SoftDatagramPair::attach(const Destination& to) noexcept {
  const sockaddr_storage& address = static_cast<const SoftDestination&>(to).address();
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  OwnFd fd(::socket(address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return -errno;
  const int on = 1;
  const int number = fd.get();
  if (setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return -errno;
  if (::bind(number, name, size_of(name)) != 0) return -errno;
  if (const int error = join_group(number, address, socket_.local)) return -error;
  const std::lock_guard lock(channel_.mutex());
  if (failed_) return -EINVAL;
  try {
    groups_.reserve(groups_.size() + 1);
    auto group = std::make_unique<Group>(*this, std::move(fd), address);
    channel_.add(group.get());
    if (const int error = channel_.watch(group.get(), number, EPOLLIN)) {
      channel_.remove(group.get());
      return error;
    }
    groups_.push_back(std::move(group));
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
  return 0;
}

int SoftDatagramPair::detach(const Destination& from) noexcept {
  const sockaddr_storage& address = static_cast<const SoftDestination&>(from).address();
  const std::lock_guard lock(channel_.mutex());
  const auto found = std::find_if(groups_.begin(), groups_.end(), [&](const auto& group) {
    return same(group->address(), address);
  });
  if (found == groups_.end()) return -EINVAL;
  if (!failed_) channel_.forget((*found)->watched().fd);
  channel_.remove(found->get());
  groups_.erase(found);
  return 0;
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

bool SoftDatagramPair::advance() noexcept { return read(socket_.fd, socket_.local, false); }

bool SoftDatagramPair::read(int fd, const sockaddr_storage& at, bool group) noexcept {
  int reads = 0;
  while (reads < kDatagramReadsInARow && !failed_ && read_one(fd, at, group)) ++reads;
  return reads > 0;
}

// One datagram, straight to its place. False: there is none.
bool SoftDatagramPair::read_one(int fd, const sockaddr_storage& at, bool group) noexcept {
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
  const ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
  if (n < 0) return errno != EAGAIN && errno != EINTR;  // an error of an earlier send: it is lost
  DatagramHeader header;
  const auto whole = static_cast<size_t>(n);
  if (whole < bytes.size() || whole > bytes.size() + kDatagramMtu) return true;
  if (!decode(bytes, header)) return true;
  if (header.kind == Kind::kWho) {
    if (!group) answer(header, from);
  } else if (is_for_us(header, group) && message.msg_iovlen == 2 &&
             (message.msg_flags & MSG_TRUNC) == 0) {
    received(header, from, at, whole - bytes.size());
  }
  return true;
}

bool SoftDatagramPair::is_for_us(const DatagramHeader& header, bool group) const noexcept {
  return header.kind != Kind::kHere && header.key == kDatagramKey &&
         header.destination == (group ? kGroupNumber : number_);
}

void SoftDatagramPair::received(const DatagramHeader& header, const sockaddr_storage& from,
                                const sockaddr_storage& at, size_t size) noexcept {
  const Receive receive = receives_.pop();
  write_grh(receive.data(), from, at, size);
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
  forget_all();
  failed_ = true;
  while (!receives_.empty()) complete(receives_.pop().wr_id, IBV_WC_RECV, IBV_WC_WR_FLUSH_ERR);
}

}  // namespace sio::internal::provider::soft
