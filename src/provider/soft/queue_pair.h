// SPDX-License-Identifier: BSD-2-Clause
//
// A reliable connected queue pair over one TCP connection.
//
//   kFresh ──start──> kReady ──fail, a broken rule, a dead link──> kFailed
//
// 1. A request is done when the peer's queue pair has taken it, which the `taken` of each of the
//    peer's frames says; a frame of its own says so when nothing else goes that way.
// 2. A message that finds no receive stays where it is, and so does all behind it: TCP holds the
//    peer back. (With verbs acknowledgements would go past it.)
// 3. In kFailed all that is posted has been flushed, and nothing is read any more.
#pragma once

#include <sys/epoll.h>

#include <atomic>

#include "base/clock.h"
#include "base/fd.h"
#include "provider/provider.h"
#include "provider/soft/completion.h"
#include "provider/soft/inlet.h"
#include "provider/soft/outlet.h"
#include "provider/soft/receive_queue.h"
#include "provider/soft/shared_receive_queue.h"

namespace sio::internal::provider::soft {

class MemoryTable;
class SoftConnectionManager;
class SoftQueuePair;

// Receivers that were not ready, of the whole process: what a device's counters would say.
inline std::atomic<uint64_t> receivers_not_ready{0};

// The second queue pair of a connection. Its requests go the way of the first one's, in one line
// with them; it has its own receives and completions. When one of the two fails both do.
class SoftSecondQueuePair final : public SecondQueuePair {
 public:
  SoftSecondQueuePair(SoftQueuePair& first, SoftCompletionQueue& queue, const QueueSizes& sizes);
  ~SoftSecondQueuePair() override;
  SoftSecondQueuePair(const SoftSecondQueuePair&) = delete;
  SoftSecondQueuePair& operator=(const SoftSecondQueuePair&) = delete;

  uint32_t number() const noexcept override { return number_; }
  uint32_t peer_number() const noexcept override { return peer_number_; }
  uint32_t max_inline() const noexcept override { return 0; }
  uint32_t max_send_sge() const noexcept override;
  int post_send(ibv_send_wr* chain, ibv_send_wr** bad) noexcept override;
  int post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept override;
  void fail() noexcept override;
  uint32_t first_sequence() const noexcept override { return 0; }  // TCP's are what counts
  int connect(uint32_t peer_number, uint32_t peer_sequence) noexcept override;

 private:
  friend class SoftQueuePair;

  SoftQueuePair& first_;
  SoftCompletionQueue& queue_;
  const uint32_t number_;
  uint32_t peer_number_ = 0;
  bool connected_ = false;
  ReceiveQueue receives_;
};

class SoftQueuePair final : public QueuePair, public Attended, private FrameSink {
 public:
  // `endpoint`: the serial of the connection's.
  SoftQueuePair(SoftConnectionManager& manager, uint64_t endpoint, const MemoryTable& memory,
                SoftCompletionQueue& queue, const QueueSizes& sizes);
  ~SoftQueuePair() override;
  SoftQueuePair(const SoftQueuePair&) = delete;
  SoftQueuePair& operator=(const SoftQueuePair&) = delete;

  uint32_t number() const noexcept override { return number_; }
  uint32_t peer_number() const noexcept override { return peer_number_; }
  uint32_t max_inline() const noexcept override { return max_inline_; }
  uint32_t max_send_sge() const noexcept override { return max_send_sge_; }
  int post_send(ibv_send_wr* chain, ibv_send_wr** bad) noexcept override;
  int post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept override;
  void fail() noexcept override;

  // Room in the send queue for the second queue pair too. Throws.
  std::unique_ptr<SecondQueuePair> create_second(SoftCompletionQueue& queue,
                                                 const QueueSizes& sizes);

  // The connection stands. `announce`: this is the end that connected. 0 or -errno.
  int start(OwnFd stream, uint32_t peer_number, bool announce) noexcept;
  // Fails, and gives the stream to whoever says goodbye.
  OwnFd stop() noexcept;
  // The peer has said something.
  bool heard() noexcept;

  // Attended
  Watched watched() const noexcept override { return {stream_.get(), stream_ ? watched_ : 0}; }
  bool advance() noexcept override;
  void acknowledge() noexcept override;
  void ask() noexcept override;
  uint64_t took_at() const noexcept override { return took_at_; }
  void look_for_dead_link() noexcept override;

 private:
  friend class SoftSecondQueuePair;
  enum class State : uint8_t { kFresh, kReady, kFailed };

  // FrameSink
  Verdict begin(const FrameHeader& header) noexcept override;
  char* payload() noexcept override { return current_.data(); }
  void end(const FrameHeader& header) noexcept override;
  Room upcoming(unsigned n) noexcept override;

  int post_send(ibv_send_wr* chain, ibv_send_wr** bad, bool second) noexcept;
  int post_recv(ReceiveQueue& queue, ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept;
  bool covers(const ibv_sge& place) const noexcept;
  Inlet::Result read() noexcept;
  void stall(bool stalls) noexcept;
  bool peer_has_taken(uint32_t count) noexcept;
  Verdict refuse_message(ibv_wc_status ours, ibv_wc_status theirs) noexcept;
  void after_read(Inlet::Result result) noexcept;
  void write(bool acknowledge = false) noexcept;
  void write_failed() noexcept;
  void settle() noexcept;
  void watch_for(uint32_t events) noexcept;
  void peer_ended() noexcept;
  void transport_failed(int error) noexcept;
  void complete_oldest(ibv_wc_status status, uint32_t vendor_error) noexcept;
  void complete_receive(const Receive& receive, ibv_wc_status status, bool second) noexcept;
  // `first`: what became of the oldest request.
  void flush(ibv_wc_status first = IBV_WC_WR_FLUSH_ERR, uint32_t vendor_error = 0) noexcept;

  SoftConnectionManager& manager_;
  const uint64_t endpoint_;
  const MemoryTable& memory_;
  SoftCompletionQueue& queue_;
  SoftCompletionChannel& channel_;
  const uint32_t number_;
  const uint32_t max_inline_;
  const uint32_t max_send_sge_;
  uint32_t peer_number_ = 0;
  State state_ = State::kFresh;
  OwnFd stream_;
  uint32_t watched_ = 0;  // epoll's events
  Inlet inlet_;
  Outlet outlet_;
  SoftSharedReceiveQueue* const shared_;  // or null
  ReceiveQueue own_;
  ReceiveQueue& receives_;       // its own, or the shared ones: these under their lock
  Receive current_;              // of the message that has begun
  bool current_second_ = false;  // it is one for the second queue pair
  SoftSecondQueuePair* second_ = nullptr;
  uint32_t taken_ = 0;               // requests of the peer's
  bool owing_ = false;               // is in the channel's list
  bool heard_ = false;               // a frame of the peer's has come
  bool ended_ = false;               // the peer sends no more
  bool stalled_ = false;             // counted as not ready
  bool asked_ = false;               // for an acknowledgement of what was sent
  bool link_known_ = false;          // what follows is of requests that are still outstanding
  uint64_t called_ = 0;              // for a shared receive
  uint64_t took_at_ = 0;             // round in which it last took something
  uint64_t frames_ = 0;              // that came
  uint64_t acknowledged_bytes_ = 0;  // by the peer's kernel
  TimePoint acknowledged_at_{};
};

}  // namespace sio::internal::provider::soft
