// SPDX-License-Identifier: BSD-2-Clause
#include "provider/verbs/queue_pair.h"

#include "base/error.h"
#include "base/log.h"
#include "provider/verbs/shared_receive_queue.h"

namespace sio::internal::provider::verbs {

VerbsQueuePair::VerbsQueuePair(rdma_cm_id* id, ibv_qp_type type, ibv_pd* pd, ibv_cq* cq,
                               const QueueSizes& sizes, std::mutex& guard)
    : id_(id), guard_(guard) {
  ibv_qp_init_attr attributes{};
  attributes.send_cq = cq;
  attributes.recv_cq = cq;
  attributes.qp_type = type;
  if (sizes.shared_recv != nullptr) {
    attributes.srq = static_cast<VerbsSharedReceiveQueue*>(sizes.shared_recv)->get();
  }
  attributes.sq_sig_all = 0;
  attributes.cap.max_send_wr = sizes.send_wr;
  attributes.cap.max_recv_wr = attributes.srq == nullptr ? sizes.recv_wr : 0;
  attributes.cap.max_send_sge = sizes.send_sge;
  attributes.cap.max_recv_sge = 1;
  attributes.cap.max_inline_data = sizes.inline_bytes;
  int result = rdma_create_qp(id, pd, &attributes);
  if (result != 0 && errno == EINVAL && sizes.inline_bytes > 0) {
    // Devices differ in what they send inline; none at all is within what verbs allows.
    attributes.cap.max_inline_data = 0;
    result = rdma_create_qp(id, pd, &attributes);
  }
  check_errno(result, "rdma_create_qp");
  qp_ = id->qp;
  max_inline_ = attributes.cap.max_inline_data;
  max_send_sge_ = attributes.cap.max_send_sge;
}

VerbsQueuePair::~VerbsQueuePair() {
  const std::lock_guard lock(guard_);
  rdma_destroy_qp(id_);
}

uint32_t VerbsQueuePair::peer_number() const noexcept {
  ibv_qp_attr attributes{};
  ibv_qp_init_attr init{};
  if (ibv_query_qp(qp_, &attributes, IBV_QP_DEST_QPN, &init) != 0) return 0;
  return attributes.dest_qp_num;
}

int VerbsQueuePair::post_send(ibv_send_wr* chain, ibv_send_wr** bad) noexcept {
  return -ibv_post_send(qp_, chain, bad);
}

int VerbsQueuePair::post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept {
  return -ibv_post_recv(qp_, chain, bad);
}

void VerbsQueuePair::fail() noexcept {
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_ERR;
  if (const int error = ibv_modify_qp(qp_, &attributes, IBV_QP_STATE)) {
    LOG_DEBUG("QP %u into the error state: %s", qp_->qp_num, errno_text(error));
  }
}

}  // namespace sio::internal::provider::verbs
