// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/queue_pair.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "provider/soft/connection_manager.h"
#include "provider/soft/memory_table.h"
#include "provider/soft/numbers.h"

namespace sio::internal::provider::soft {
namespace {

constexpr uint32_t kMostInline = 512;
constexpr int kReadsInARow = 4;  // before others have their turn
// Messages that are taken before they are acknowledged although more keep coming.
constexpr uint32_t kMostUnacknowledged = 16;
// How long a peer's kernel may stay silent: as the verbs provider's acknowledgement time-out and
// retries.
constexpr milliseconds kDeadAfter{2000};
// TCP_CLOSE of <netinet/tcp.h>, which can not be had together with the kernel's tcp_info.
constexpr uint8_t kTcpClose = 7;

// A stream that was full is writable when much of it has gone. Before that it would take what
// little has gone at each poll, and each time say that this was all. Errors are found by writing.
bool takes_much(int fd) noexcept {
  pollfd entry{fd, POLLOUT, 0};
  return poll(&entry, 1, 0) != 0;
}

}  // namespace

SoftQueuePair::SoftQueuePair(SoftConnectionManager& manager, uint64_t endpoint,
                             const MemoryTable& memory, SoftCompletionQueue& queue,
                             const QueueSizes& sizes)
    : manager_(manager),
      endpoint_(endpoint),
      memory_(memory),
      queue_(queue),
      channel_(queue.channel()),
      number_(next_number()),
      max_inline_(std::min(sizes.inline_bytes, kMostInline)),
      max_send_sge_(std::max(1u, sizes.send_sge)),
      outlet_(memory, sizes.send_wr, max_send_sge_, max_inline_),
      shared_(static_cast<SoftSharedReceiveQueue*>(sizes.shared_recv)),
      own_(shared_ == nullptr ? sizes.recv_wr : 0),
      receives_(shared_ == nullptr ? own_ : shared_->receives()) {
  const std::lock_guard lock(channel_.mutex());
  if (shared_ != nullptr) {
    const std::lock_guard shared(shared_->mutex());
    shared_->join();
  }
  channel_.add(this);
}

SoftQueuePair::~SoftQueuePair() {
  manager_.queue_pair_goes(endpoint_, this);  // takes the stream, if it is still here
  const std::lock_guard lock(channel_.mutex());
  channel_.remove(this);
  if (shared_ != nullptr) {
    const std::lock_guard shared(shared_->mutex());
    shared_->leave(this);
  }
  channel_.finished(outlet_.outstanding());
}

int SoftQueuePair::start(OwnFd stream, uint32_t peer_number, bool announce) noexcept {
  const std::lock_guard lock(channel_.mutex());
  if (state_ != State::kFresh) return -EINVAL;
  if (const int error = channel_.watch(this, stream.get(), EPOLLIN)) return error;
  watched_ = EPOLLIN;
  stream_ = std::move(stream);
  peer_number_ = peer_number;
  state_ = State::kReady;
  heard_ = announce;
  if (announce) outlet_.announce(Opcode::kReady);
  write();
  return 0;
}

// What was taken is acknowledged before the stream goes: the peer is to know.
OwnFd SoftQueuePair::stop() noexcept {
  const std::lock_guard lock(channel_.mutex());
  if (stream_ && state_ == State::kReady && taken_ != outlet_.told()) {
    outlet_.write(stream_.get(), taken_, true);
  }
  if (state_ != State::kFailed) flush();
  watch_for(0);
  return std::move(stream_);
}

bool SoftQueuePair::heard() noexcept {
  const std::lock_guard lock(channel_.mutex());
  return heard_;
}

void SoftQueuePair::fail() noexcept {
  const std::lock_guard lock(channel_.mutex());
  if (state_ == State::kFailed) return;
  flush();
  watch_for(0);
}

// ------------------------------------------------------------------------------------- posting

bool SoftQueuePair::covers(const ibv_sge& place) const noexcept {
  return place.length == 0 || memory_.covers(place.lkey, place.addr, place.length, true);
}

int SoftQueuePair::post_send(ibv_send_wr* chain, ibv_send_wr** bad) noexcept {
  return post_send(chain, bad, false);
}

int SoftQueuePair::post_send(ibv_send_wr* chain, ibv_send_wr** bad, bool second) noexcept {
  const std::lock_guard lock(channel_.mutex());
  int error = state_ == State::kFresh ? -EINVAL : 0;
  if (outlet_.outstanding() == 0) link_known_ = false;
  uint32_t posted = 0;
  while (chain != nullptr && error == 0) {
    error = outlet_.post(*chain, second);
    if (error != 0) break;
    ++posted;
    chain = chain->next;
  }
  if (error != 0) *bad = chain;
  channel_.sent(posted);
  asked_ &= posted == 0;
  if (state_ == State::kFailed) {
    flush();
  } else if (posted > 0 && !outlet_.blocked()) {
    write();
  }
  return error;
}

int SoftQueuePair::post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept {
  *bad = chain;
  return shared_ == nullptr ? post_recv(own_, chain, bad) : -EINVAL;
}

int SoftQueuePair::post_recv(ReceiveQueue& queue, ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept {
  const std::lock_guard lock(channel_.mutex());
  const int error = queue.post(chain, bad);
  if (state_ == State::kFailed) {
    flush();
  } else if (stalled_) {
    advance();  // nothing but this makes what was read already go on
  }
  return error;
}

// ----------------------------------------------------------------------------------- the stream

bool SoftQueuePair::advance() noexcept {
  if (state_ != State::kReady || ended_) return false;
  const uint64_t before = frames_;
  Inlet::Result result = Inlet::Result::kMore;
  // Memory may have been given up since the message began.
  if (inlet_.receiving() && !covers(current_.place)) {
    refuse_message(IBV_WC_LOC_PROT_ERR, IBV_WC_REM_OP_ERR);
    return true;
  }
  for (int i = 0; i < kReadsInARow && result == Inlet::Result::kMore; ++i) {
    result = read();
  }
  // What mostly is the case, since programs that wait poll on and on.
  const bool rests = result == Inlet::Result::kDrained && !stalled_ && !outlet_.blocked();
  if (!rests && state_ == State::kReady) after_read(result);
  if (!rests && state_ == State::kReady && outlet_.blocked() && takes_much(stream_.get())) write();
  if (outlet_.stopped()) settle();
  return frames_ != before;
}

Inlet::Result SoftQueuePair::read() noexcept {
  if (shared_ == nullptr) return inlet_.read(stream_.get(), *this);
  const std::lock_guard shared(shared_->mutex());
  const Inlet::Result result = inlet_.read(stream_.get(), *this);
  if (result == Inlet::Result::kStalled) called_ = shared_->call_for(this, &channel_, called_);
  return result;
}

// A stream that stalls is not waited for: it has bytes, which are not wanted now.
void SoftQueuePair::stall(bool stalls) noexcept {
  if (stalls == stalled_) return;
  stalled_ = stalls;
  if (stalls) receivers_not_ready.fetch_add(1, std::memory_order_relaxed);
  watch_for(stalls ? watched_ & ~uint32_t{EPOLLIN} : watched_ | EPOLLIN);
  if (shared_ == nullptr) return;
  if (stalls) {
    channel_.starves(this);
  } else {
    channel_.starves_no_more(this);
  }
}

void SoftQueuePair::after_read(Inlet::Result result) noexcept {
  stall(result == Inlet::Result::kStalled);
  switch (result) {
    case Inlet::Result::kBroken:
      LOG_INFO("soft QP %u: the peer breaks the rules", number_);
      return flush(IBV_WC_FATAL_ERR);
    case Inlet::Result::kEnd:
      return peer_ended();
    case Inlet::Result::kError:
      return transport_failed(inlet_.error());
    default:
      return;
  }
}

void SoftQueuePair::write(bool acknowledge) noexcept {
  if (state_ != State::kReady || !stream_) return;
  switch (outlet_.write(stream_.get(), taken_, acknowledge)) {
    case Outlet::Result::kAll:
      watch_for(watched_ & ~uint32_t{EPOLLOUT});
      break;
    case Outlet::Result::kBlocked:
      return watch_for(watched_ | EPOLLOUT);
    case Outlet::Result::kError:
      return write_failed();
  }
  settle();
  if (outlet_.told() == taken_ && std::exchange(owing_, false)) channel_.owes_no_more(this);
}

// Why the stream is over shows where it is read from, behind all that the peer has said; but not
// when that is not being read.
void SoftQueuePair::write_failed() noexcept {
  watch_for(watched_ & ~uint32_t{EPOLLOUT});
  if (outlet_.error() == EFAULT) {
    flush();
  } else if (stalled_) {
    peer_ended();
  }
}

void SoftQueuePair::acknowledge() noexcept { write(true); }

// Requests that nobody asked about would else be outstanding for ever.
void SoftQueuePair::ask() noexcept {
  if (asked_ || state_ != State::kReady || outlet_.outstanding() == 0) return;
  if (outlet_.announcing() || outlet_.blocked()) return;
  asked_ = true;
  outlet_.announce(Opcode::kAcknowledge, 0, FrameHeader::kWantsAcknowledgement);
  write();
}

// A request that can not go out fails when those before it have been taken.
void SoftQueuePair::settle() noexcept {
  if (state_ != State::kReady) return;
  if (outlet_.fate() != IBV_WC_SUCCESS) {
    flush();
  } else if (outlet_.stopped()) {
    ask();
  }
}

// A descriptor with nothing to wait for leaves the set: else its end would wake us for ever.
void SoftQueuePair::watch_for(uint32_t events) noexcept {
  if (ended_) events = 0;
  if (events == watched_) return;
  if (stream_) {
    if (events == 0) {
      channel_.forget(stream_.get());
    } else if (watched_ == 0) {
      channel_.watch(this, stream_.get(), events);
    } else {
      channel_.change(this, stream_.get(), events);
    }
  }
  watched_ = events;
}

// The requests stay as they are, as with verbs: the owner of the connection is told.
void SoftQueuePair::peer_ended() noexcept {
  if (std::exchange(ended_, true)) return;
  watch_for(0);
  link_known_ = true;
  acknowledged_at_ = Clock::now();
  manager_.tell(ConnectionEvent::Kind::kDisconnected, endpoint_);
}

void SoftQueuePair::transport_failed(int error) noexcept {
  LOG_DEBUG("soft QP %u: %s", number_, errno_text(error));
  if (error == ECONNRESET || error == EPIPE) return peer_ended();
  if (error == EFAULT && inlet_.receiving()) {
    refuse_message(IBV_WC_LOC_PROT_ERR, IBV_WC_REM_OP_ERR);
    return;
  }
  flush(IBV_WC_RETRY_EXC_ERR, static_cast<uint32_t>(error));
}

// Bytes are on their way, and for kDeadAfter the peer's kernel has answered none of them, nor the
// question whether it has room; or the peer has gone, and what was sent will not be acknowledged
// any more.
void SoftQueuePair::look_for_dead_link() noexcept {
  if (state_ != State::kReady || outlet_.outstanding() == 0) return;
  if (!ended_) {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (getsockopt(stream_.get(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return;
    if (info.tcpi_state == kTcpClose && stalled_) return peer_ended();
    const bool silent = (info.tcpi_unacked > 0 || info.tcpi_probes > 0) &&
                        info.tcpi_last_ack_recv >= kDeadAfter.count();
    if (!silent || !link_known_ || info.tcpi_bytes_acked != acknowledged_bytes_) {
      acknowledged_at_ = Clock::now();
    }
    acknowledged_bytes_ = info.tcpi_bytes_acked;
    link_known_ = true;
  }
  if (Clock::now() - acknowledged_at_ >= kDeadAfter) flush(IBV_WC_RETRY_EXC_ERR, ETIMEDOUT);
}

// ---------------------------------------------------------------------------------------- frames

FrameSink::Verdict SoftQueuePair::begin(const FrameHeader& header) noexcept {
  if (state_ != State::kReady) return Verdict::kBroken;  // it has failed over the one before
  if (!peer_has_taken(header.taken)) return Verdict::kBroken;
  const bool first = !std::exchange(heard_, true);
  if (first != (header.opcode == Opcode::kReady)) return Verdict::kBroken;
  if (first) manager_.tell(ConnectionEvent::Kind::kEstablished, endpoint_);
  if (header.opcode == Opcode::kRefuse) {
    const auto status = static_cast<ibv_wc_status>(header.status);
    const bool known = status == IBV_WC_REM_INV_REQ_ERR || status == IBV_WC_REM_OP_ERR;
    if (known && outlet_.outstanding() > 0) flush(status);
    return Verdict::kBroken;
  }
  if (!takes_receive(header.opcode)) return Verdict::kTake;
  const bool second = (header.flags & FrameHeader::kSecond) != 0;
  if (second && (second_ == nullptr || !second_->connected_)) return Verdict::kBroken;
  ReceiveQueue& receives = second ? second_->receives_ : receives_;
  if (receives.empty()) return Verdict::kNotReady;
  current_ = receives.pop();
  current_second_ = second;
  if (header.length > current_.place.length) {
    return refuse_message(IBV_WC_LOC_LEN_ERR, IBV_WC_REM_INV_REQ_ERR);
  }
  if (!covers(current_.place)) return refuse_message(IBV_WC_LOC_PROT_ERR, IBV_WC_REM_OP_ERR);
  return Verdict::kTake;
}

// Both queue pairs fail over it.
FrameSink::Verdict SoftQueuePair::refuse_message(ibv_wc_status ours,
                                                 ibv_wc_status theirs) noexcept {
  complete_receive(current_, ours, current_second_);
  inlet_.abandon();
  outlet_.announce(Opcode::kRefuse, static_cast<uint16_t>(theirs));
  write();
  flush();
  return Verdict::kBroken;
}

FrameSink::Room SoftQueuePair::upcoming(unsigned n) noexcept {
  if (n >= receives_.size()) return {};
  const Receive& receive = receives_.at(n);
  if (!covers(receive.place)) return {};
  return {receive.data(), receive.place.length};
}

void SoftQueuePair::end(const FrameHeader& header) noexcept {
  ++frames_;
  if (is_request(header.opcode)) ++taken_;
  if (takes_receive(header.opcode)) {
    ibv_wc wc{};
    wc.wr_id = current_.wr_id;
    wc.status = IBV_WC_SUCCESS;
    wc.opcode = header.opcode == Opcode::kWriteImmediate ? IBV_WC_RECV_RDMA_WITH_IMM : IBV_WC_RECV;
    wc.byte_len = header.length;
    wc.qp_num = current_second_ ? second_->number_ : number_;
    wc.src_qp = current_second_ ? second_->peer_number_ : peer_number_;
    if (has_immediate(header.opcode)) {
      wc.wc_flags = IBV_WC_WITH_IMM;
      wc.imm_data = header.immediate;
    }
    SoftCompletionQueue& queue = current_second_ ? second_->queue_ : queue_;
    queue.push(wc, (header.flags & FrameHeader::kSolicited) != 0);
  }
  took_at_ = channel_.round();
  if ((header.flags & FrameHeader::kWantsAcknowledgement) != 0 && !std::exchange(owing_, true)) {
    channel_.owes(this);
  }
  if (owing_ && taken_ - outlet_.told() >= kMostUnacknowledged) acknowledge();
}

bool SoftQueuePair::peer_has_taken(uint32_t count) noexcept {
  uint32_t more = outlet_.taken_by_peer(count);
  if (more > outlet_.written()) return false;
  asked_ &= more == 0;
  for (; more > 0; --more) complete_oldest(IBV_WC_SUCCESS, 0);
  return true;
}

// ----------------------------------------------------------------------------------- completions

void SoftQueuePair::complete_oldest(ibv_wc_status status, uint32_t vendor_error) noexcept {
  const Outlet::Send& send = outlet_.oldest();
  if (send.signalled || status != IBV_WC_SUCCESS) {
    ibv_wc wc{};
    wc.wr_id = send.wr_id;
    wc.status = status;
    wc.opcode = send.opcode;
    wc.vendor_err = vendor_error;
    wc.qp_num = send.second ? second_->number_ : number_;
    (send.second ? second_->queue_ : queue_).push(wc, status != IBV_WC_SUCCESS);
  }
  outlet_.done();
  channel_.finished(1);
}

void SoftQueuePair::complete_receive(const Receive& receive, ibv_wc_status status,
                                     bool second) noexcept {
  ibv_wc wc{};
  wc.wr_id = receive.wr_id;
  wc.status = status;
  wc.opcode = IBV_WC_RECV;
  wc.qp_num = second ? second_->number_ : number_;
  (second ? second_->queue_ : queue_).push(wc, true);
}

void SoftQueuePair::flush(ibv_wc_status first, uint32_t vendor_error) noexcept {
  const bool receiving = inlet_.receiving() && state_ == State::kReady;
  state_ = State::kFailed;
  while (outlet_.outstanding() > 0) {
    const ibv_wc_status fate = outlet_.fate();
    complete_oldest(fate == IBV_WC_SUCCESS ? first : fate, vendor_error);
    first = IBV_WC_WR_FLUSH_ERR;
    vendor_error = 0;
  }
  if (receiving) complete_receive(current_, IBV_WC_WR_FLUSH_ERR, current_second_);
  while (!own_.empty()) {  // not what is shared
    complete_receive(own_.pop(), IBV_WC_WR_FLUSH_ERR, false);
  }
  while (second_ != nullptr && !second_->receives_.empty()) {
    complete_receive(second_->receives_.pop(), IBV_WC_WR_FLUSH_ERR, true);
  }
  if (std::exchange(owing_, false)) channel_.owes_no_more(this);
  channel_.starves_no_more(this);
  if (!stream_) return;
  watch_for(0);
  ::shutdown(stream_.get(), SHUT_WR);  // the peer, too, is to know
}

// ------------------------------------------------------------------------- the second queue pair

std::unique_ptr<SecondQueuePair> SoftQueuePair::create_second(SoftCompletionQueue& queue,
                                                              const QueueSizes& sizes) {
  auto second = std::make_unique<SoftSecondQueuePair>(*this, queue, sizes);
  const std::lock_guard lock(channel_.mutex());
  if (second_ != nullptr || sizes.send_sge > max_send_sge_) throw_errno(EINVAL, "a second pair");
  outlet_.grow(sizes.send_wr);
  second_ = second.get();
  return second;
}

SoftSecondQueuePair::SoftSecondQueuePair(SoftQueuePair& first, SoftCompletionQueue& queue,
                                         const QueueSizes& sizes)
    : first_(first), queue_(queue), number_(next_number()), receives_(sizes.recv_wr) {}

// Nothing of it may be left in the queue that it shares with the first one.
SoftSecondQueuePair::~SoftSecondQueuePair() {
  const std::lock_guard lock(first_.channel_.mutex());
  if (first_.second_ != this) return;
  if (connected_ && first_.state_ == SoftQueuePair::State::kReady) first_.flush();
  first_.second_ = nullptr;
}

uint32_t SoftSecondQueuePair::max_send_sge() const noexcept { return first_.max_send_sge_; }

int SoftSecondQueuePair::connect(uint32_t peer_number, uint32_t) noexcept {
  const std::lock_guard lock(first_.channel_.mutex());
  if (connected_ || first_.state_ == SoftQueuePair::State::kFresh) return -EINVAL;
  peer_number_ = peer_number;
  connected_ = true;
  return 0;
}

int SoftSecondQueuePair::post_send(ibv_send_wr* chain, ibv_send_wr** bad) noexcept {
  *bad = chain;
  return connected_ ? first_.post_send(chain, bad, true) : -EINVAL;
}

int SoftSecondQueuePair::post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept {
  *bad = chain;
  return connected_ ? first_.post_recv(receives_, chain, bad) : -EINVAL;
}

void SoftSecondQueuePair::fail() noexcept { first_.fail(); }

}  // namespace sio::internal::provider::soft
