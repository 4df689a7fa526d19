// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <rdma/rdma_cma.h>

#include <mutex>

#include "provider/provider.h"

namespace sio::internal::provider::verbs {

// A queue pair, reliable or for datagrams, made on a connection manager's id.
class VerbsQueuePair final : public QueuePair {
 public:
  // `guard`: is held while it is destroyed.
  VerbsQueuePair(rdma_cm_id* id, ibv_qp_type type, ibv_pd* pd, ibv_cq* cq, const QueueSizes& sizes,
                 std::mutex& guard);
  ~VerbsQueuePair() override;
  VerbsQueuePair(const VerbsQueuePair&) = delete;
  VerbsQueuePair& operator=(const VerbsQueuePair&) = delete;

  uint32_t number() const noexcept override { return qp_->qp_num; }
  uint32_t peer_number() const noexcept override;
  uint32_t max_inline() const noexcept override { return max_inline_; }
  uint32_t max_send_sge() const noexcept override { return max_send_sge_; }
  int post_send(ibv_send_wr* chain, ibv_send_wr** bad) noexcept override;
  int post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept override;
  void fail() noexcept override;

 private:
  rdma_cm_id* id_;
  std::mutex& guard_;
  ibv_qp* qp_;
  uint32_t max_inline_;
  uint32_t max_send_sge_;
};

}  // namespace sio::internal::provider::verbs
