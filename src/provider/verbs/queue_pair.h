// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <rdma/rdma_cma.h>

#include <cstdlib>
#include <mutex>

#include "provider/provider.h"

namespace sio::internal::provider::verbs {

void fail(ibv_qp* qp) noexcept;

// What can be done with any queue pair. Who makes it destroys it.
template <typename Base>
class OnVerbs : public Base {
 public:
  uint32_t number() const noexcept final { return qp_->qp_num; }
  uint32_t peer_number() const noexcept final { return peer_number_; }
  uint32_t max_inline() const noexcept final { return cap_.max_inline_data; }
  uint32_t max_send_sge() const noexcept final { return cap_.max_send_sge; }
  int post_send(ibv_send_wr* chain, ibv_send_wr** bad) noexcept final {
    return -std::abs(ibv_post_send(qp_, chain, bad));  // some negate it
  }
  int post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept final {
    return -std::abs(ibv_post_recv(qp_, chain, bad));
  }
  void fail() noexcept final { verbs::fail(qp_); }

 protected:
  // It is made now.
  void take(ibv_qp* qp, const ibv_qp_cap& granted) noexcept {
    qp_ = qp;
    cap_ = granted;
    this->post_directly_by(qp->context->ops.post_send, qp);
  }

  ibv_qp* qp_ = nullptr;
  ibv_qp_cap cap_{};  // granted
  uint32_t peer_number_ = 0;
};

// Of a connection. Its states are ours to change: librdmacm, which would do that too, enters one of
// them twice, and leaves timers at what hurts, so that they are to be changed once more.
class VerbsConnectedPair final : public OnVerbs<QueuePair> {
 public:
  // Ready for receives. `known_as`: points to it while it lives; which changes, as its states do,
  // under `guard`, since the connection manager's events find it there. Throws.
  VerbsConnectedPair(rdma_cm_id* id, ibv_pd* pd, ibv_cq* cq, const QueueSizes& sizes,
                     VerbsConnectedPair*& known_as, std::mutex& guard);
  ~VerbsConnectedPair() override;
  VerbsConnectedPair(const VerbsConnectedPair&) = delete;
  VerbsConnectedPair& operator=(const VerbsConnectedPair&) = delete;

  // The connection manager knows the peer's: from here on it sends and receives. 0 or -errno.
  int start() noexcept;
  bool shares_receives() const noexcept { return qp_->srq != nullptr; }
  uint32_t path_mtu() const noexcept;  // bytes; 0: not known

 private:
  rdma_cm_id* id_;
  VerbsConnectedPair*& known_as_;
  std::mutex& guard_;
};

// For datagrams.
class VerbsDatagramPair final : public OnVerbs<QueuePair> {
 public:
  // `guard`: is held while it is destroyed, which librdmacm would otherwise read meanwhile.
  VerbsDatagramPair(rdma_cm_id* id, ibv_pd* pd, ibv_cq* cq, const QueueSizes& sizes,
                    std::mutex& guard);
  ~VerbsDatagramPair() override;
  VerbsDatagramPair(const VerbsDatagramPair&) = delete;
  VerbsDatagramPair& operator=(const VerbsDatagramPair&) = delete;

  int attach(const Destination& group) noexcept override;
  int detach(const Destination& group) noexcept override;

 private:
  rdma_cm_id* id_;
  std::mutex& guard_;
};

// Beside that of a connection: its path and its timers are what the connection manager chose for
// the first one.
class VerbsSecondQueuePair final : public OnVerbs<SecondQueuePair> {
 public:
  VerbsSecondQueuePair(rdma_cm_id* id, ibv_pd* pd, ibv_cq* cq, const QueueSizes& sizes);
  ~VerbsSecondQueuePair() override;
  VerbsSecondQueuePair(const VerbsSecondQueuePair&) = delete;
  VerbsSecondQueuePair& operator=(const VerbsSecondQueuePair&) = delete;

  uint32_t first_sequence() const noexcept override { return sequence_; }
  int connect(uint32_t peer_number, uint32_t peer_sequence) noexcept override;

 private:
  rdma_cm_id* id_;
  const uint32_t sequence_;
};

}  // namespace sio::internal::provider::verbs
