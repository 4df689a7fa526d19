// SPDX-License-Identifier: BSD-2-Clause
//
// An unreliable datagram queue pair over a UDP socket. A message is done at once, and lost if the
// kernel has no room for it; one that comes and finds no receive, or one too short, or is for
// somebody else, is dropped.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <memory>
#include <vector>

#include "provider/provider.h"
#include "provider/soft/completion.h"
#include "provider/soft/datagram_frame.h"
#include "provider/soft/receive_queue.h"

namespace sio::internal::provider::soft {

class MemoryTable;

// A datagram endpoint's socket, of which its queue pair is told.
struct DatagramSocket {
  int fd = -1;
  sockaddr_storage local{};
  std::atomic<bool> can_be_found{false};
};

class SoftDatagramPair final : public QueuePair, public Attended {
 public:
  SoftDatagramPair(const DatagramSocket& socket, const MemoryTable& memory,
                   SoftCompletionQueue& queue, const QueueSizes& sizes);
  ~SoftDatagramPair() override;
  SoftDatagramPair(const SoftDatagramPair&) = delete;
  SoftDatagramPair& operator=(const SoftDatagramPair&) = delete;

  uint32_t number() const noexcept override { return number_; }
  uint32_t peer_number() const noexcept override { return 0; }
  uint32_t max_inline() const noexcept override { return max_inline_; }
  uint32_t max_send_sge() const noexcept override { return max_send_sge_; }
  int post_send(ibv_send_wr* chain, ibv_send_wr** bad) noexcept override;
  int post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept override;
  void fail() noexcept override;
  int attach(const Destination& group) noexcept override;
  int detach(const Destination& group) noexcept override;

  // Attended
  Watched watched() const noexcept override { return {socket_.fd, failed_ ? 0u : EPOLLIN}; }
  bool advance() noexcept override;

 private:
  class Group;

  int post_one(const ibv_send_wr& wr) noexcept;
  void write(const ibv_send_wr& wr) noexcept;
  // What comes in at `fd`, which is for `at`: this one's own socket or that of a group.
  bool read(int fd, const sockaddr_storage& at, bool group) noexcept;
  bool read_one(int fd, const sockaddr_storage& at, bool group) noexcept;
  bool is_for_us(const DatagramHeader& header, bool group) const noexcept;
  void received(const DatagramHeader& header, const sockaddr_storage& from,
                const sockaddr_storage& at, size_t size) noexcept;
  void answer(const DatagramHeader& question, const sockaddr_storage& from) noexcept;
  void forget_all() noexcept;
  void complete(uint64_t wr_id, ibv_wc_opcode opcode, ibv_wc_status status) noexcept;
  void flush() noexcept;
  bool covers(const ibv_sge& place, bool to_write = false) const noexcept;

  const DatagramSocket& socket_;
  const MemoryTable& memory_;
  SoftCompletionQueue& queue_;
  SoftCompletionChannel& channel_;
  const uint32_t number_;
  const uint32_t max_inline_;
  const uint32_t max_send_sge_;
  ReceiveQueue receives_;
  std::vector<std::unique_ptr<Group>> groups_;
  bool failed_ = false;
};

}  // namespace sio::internal::provider::soft
