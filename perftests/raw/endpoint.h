// SPDX-License-Identifier: BSD-2-Clause
//
// The baseline: an RC queue pair with SEND and RECV on bare verbs, done as well as is known.
#pragma once

#include <rdma/rdma_cma.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "parameters.h"
#include "raw/connection.h"
#include "raw/memory.h"
#include "report.h"

namespace sio_perf {

struct VerbsDeleter {
  void operator()(ibv_cq* cq) const { ibv_destroy_cq(cq); }
  void operator()(ibv_pd* pd) const { ibv_dealloc_pd(pd); }
  void operator()(ibv_mr* region) const { ibv_dereg_mr(region); }
  void operator()(ibv_comp_channel* channel) const { ibv_destroy_comp_channel(channel); }
};

class RawEndpoint {
 public:
  static constexpr size_t kBatch = 32;  // completions taken at a time
  using Batch = std::array<ibv_wc, kBatch>;

  // Makes the queue pair of a connection that is not established yet, and posts all receives.
  RawEndpoint(RawConnection& connection, const Parameters& parameters);
  RawEndpoint(const RawEndpoint&) = delete;
  RawEndpoint& operator=(const RawEndpoint&) = delete;
  ~RawEndpoint();

  SetUp set_up() const;

  // Messages that may be on their way to the other end before it returns credits, which it does
  // for half of them at a time.
  uint32_t window() const { return recv_depth_; }

  // Sends: n messages are written to buffer(0) to buffer(n-1) and posted at once.
  bool has_room(uint32_t messages) const { return posted_ - sent_ + messages <= send_depth_; }
  unsigned char* buffer(uint32_t number) { return send_slot((posted_ + number) % send_depth_); }
  void post(uint32_t messages, uint32_t length);
  void take_sent();

  // Receives.
  std::span<const ibv_wc> take(Batch& batch);  // what is there
  std::span<const ibv_wc> wait(Batch& batch);  // at least one
  const unsigned char* bytes(const ibv_wc& completion) const;
  // The message has been read. True when that gave half a window back to the device.
  bool give_back();

  // Until something may have happened to sends or receives: in event mode asleep.
  void wait_any();

 private:
  // A completion queue with what its events need.
  struct Queue {
    std::unique_ptr<ibv_cq, VerbsDeleter> cq;
    bool armed = false;
    unsigned unacknowledged = 0;

    ~Queue() {
      if (unacknowledged > 0) ibv_ack_cq_events(cq.get(), unacknowledged);
    }
  };

  void make_queue(Queue& queue, uint32_t entries);
  void make_memory();
  void make_channel();
  void make_queue_pair();
  void link_requests();
  void post_half(uint32_t half);
  void arm(Queue& queue);
  void sleep();
  std::span<const ibv_wc> poll(Queue& queue, Batch& batch);
  unsigned char* send_slot(uint64_t slot) { return memory_.get() + slot * stride_; }
  unsigned char* recv_slot(uint64_t slot) const {
    return memory_.get() + send_depth_ * stride_ + slot * recv_stride_;
  }

  struct QueuePairDeleter {
    void operator()(rdma_cm_id* id) const { rdma_destroy_qp(id); }
  };

  const bool event_, block_;
  const uint32_t send_depth_, recv_depth_, signal_every_;
  const size_t stride_, recv_stride_;  // from one message to the next
  uint32_t max_inline_ = 0;
  RawConnection& connection_;
  rdma_cm_id* const id_;
  std::unique_ptr<ibv_pd, VerbsDeleter> pd_;
  std::unique_ptr<ibv_comp_channel, VerbsDeleter> channel_;
  int epoll_ = -1;  // waits for the channel's descriptor, unless the call itself is to wait
  Queue send_queue_, recv_queue_;
  PageMemory memory_;
  std::unique_ptr<ibv_mr, VerbsDeleter> region_;
  std::vector<ibv_sge> send_pieces_, recv_pieces_;
  std::vector<ibv_send_wr> sends_;
  std::vector<ibv_recv_wr> recvs_;
  std::unique_ptr<rdma_cm_id, QueuePairDeleter> queue_pair_;  // its owner; ends before the others
  uint64_t posted_ = 0, sent_ = 0, received_ = 0;
};

}  // namespace sio_perf
