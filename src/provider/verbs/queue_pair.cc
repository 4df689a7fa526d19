// SPDX-License-Identifier: BSD-2-Clause
#include "provider/verbs/queue_pair.h"

#include <random>

#include "base/error.h"
#include "base/log.h"
#include "provider/verbs/destination.h"
#include "provider/verbs/shared_receive_queue.h"

namespace sio::internal::provider::verbs {
namespace {

ibv_qp_init_attr wanted(ibv_qp_type type, ibv_cq* cq, const QueueSizes& sizes) noexcept {
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
  return attributes;
}

// make() says whether there is one now. Devices differ in what they send inline; none at all is
// within what verbs allows.
template <typename Make>
void make_pair(ibv_qp_init_attr& attributes, const char* what, Make make) {
  bool made = make();
  if (!made && errno == EINVAL && attributes.cap.max_inline_data > 0) {
    attributes.cap.max_inline_data = 0;
    made = make();
  }
  if (!made) throw_last_errno(what);
}

// Where it begins is of no consequence; but not where an earlier one did.
uint32_t random_sequence() { return std::random_device{}() & 0xffffff; }

}  // namespace

uint32_t peer_number(ibv_qp* qp) noexcept {
  ibv_qp_attr attributes{};
  ibv_qp_init_attr init{};
  if (ibv_query_qp(qp, &attributes, IBV_QP_DEST_QPN, &init) != 0) return 0;
  return attributes.dest_qp_num;
}

void fail(ibv_qp* qp) noexcept {
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_ERR;
  if (const int error = ibv_modify_qp(qp, &attributes, IBV_QP_STATE)) {
    LOG_DEBUG("QP %u into the error state: %s", qp->qp_num, errno_text(error));
  }
}

VerbsQueuePair::VerbsQueuePair(rdma_cm_id* id, ibv_qp_type type, ibv_pd* pd, ibv_cq* cq,
                               const QueueSizes& sizes, std::mutex& guard)
    : id_(id), guard_(guard) {
  ibv_qp_init_attr attributes = wanted(type, cq, sizes);
  make_pair(attributes, "rdma_create_qp", [&] { return rdma_create_qp(id, pd, &attributes) == 0; });
  qp_ = id->qp;
  cap_ = attributes.cap;
}

VerbsQueuePair::~VerbsQueuePair() {
  const std::lock_guard lock(guard_);
  rdma_destroy_qp(id_);
}

int VerbsQueuePair::attach(const Destination& group) noexcept {
  const auto& to = static_cast<const VerbsDestination&>(group);
  return -ibv_attach_mcast(qp_, &to.gid(), to.lid());
}

int VerbsQueuePair::detach(const Destination& group) noexcept {
  const auto& from = static_cast<const VerbsDestination&>(group);
  return -ibv_detach_mcast(qp_, &from.gid(), from.lid());
}

VerbsSecondQueuePair::VerbsSecondQueuePair(rdma_cm_id* id, ibv_pd* pd, ibv_cq* cq,
                                           const QueueSizes& sizes)
    : id_(id), sequence_(random_sequence()) {
  ibv_qp_init_attr attributes = wanted(IBV_QPT_RC, cq, sizes);
  make_pair(attributes, "ibv_create_qp",
            [&] { return (qp_ = ibv_create_qp(pd, &attributes)) != nullptr; });
  cap_ = attributes.cap;
}

VerbsSecondQueuePair::~VerbsSecondQueuePair() {
  if (const int error = ibv_destroy_qp(qp_)) LOG_ERROR("ibv_destroy_qp: %s", errno_text(error));
}

// The three steps that rdma_cm takes with the first one.
int VerbsSecondQueuePair::connect(uint32_t peer_number, uint32_t peer_sequence) noexcept {
  for (const ibv_qp_state state : {IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS}) {
    ibv_qp_attr attributes{};
    attributes.qp_state = state;
    int mask = 0;
    // That is what it says of a connection that the peer has ended, which we are about to hear of.
    if (rdma_init_qp_attr(id_, &attributes, &mask) != 0)
      return errno == EINVAL ? -ECONNRESET : -errno;
    if (state == IBV_QPS_RTR) {
      attributes.dest_qp_num = peer_number;
      attributes.rq_psn = peer_sequence;
    }
    if (state == IBV_QPS_RTS) attributes.sq_psn = sequence_;
    if (const int error = ibv_modify_qp(qp_, &attributes, mask)) return -error;
  }
  return 0;
}

}  // namespace sio::internal::provider::verbs
