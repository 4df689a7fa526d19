// SPDX-License-Identifier: BSD-2-Clause
#include "provider/verbs/queue_pair.h"

#include <random>

#include "base/error.h"
#include "base/log.h"
#include "provider/verbs/destination.h"
#include "provider/verbs/shared_receive_queue.h"

namespace sio::internal::provider::verbs {
namespace {

// The acknowledgement time-out is 4.096 us * 2^16 = 268 ms (InfiniBand specification 9.7.6.1.3);
// with 6 retries a dead path is told after about 2 s. rdma_cm's own choice is 4 s.
constexpr uint8_t kAckTimeout = 16;
// 0.64 ms; rdma_cm leaves 0, which means 655 ms (specification, table 45).
constexpr uint8_t kMinRnrTimer = 12;

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

// Into the next state, as the connection manager has it for this id, but for what `change` changes.
// 0 or an errno.
template <typename Change>
int enter(rdma_cm_id* id, ibv_qp* qp, ibv_qp_state state, Change change) noexcept {
  ibv_qp_attr attributes{};
  attributes.qp_state = state;
  int mask = 0;
  if (rdma_init_qp_attr(id, &attributes, &mask) != 0) return errno;
  switch (state) {
    case IBV_QPS_INIT:
      // Before it asks the peer the connection manager has none. Probes are empty RDMA WRITEs.
      attributes.qp_access_flags |= IBV_ACCESS_REMOTE_WRITE;
      break;
    case IBV_QPS_RTR:
      attributes.min_rnr_timer = kMinRnrTimer;
      attributes.max_dest_rd_atomic = 0;  // nobody reads here; else it were what the peer asks for
      break;
    default:
      attributes.timeout = kAckTimeout;
      attributes.max_rd_atomic = 0;
  }
  change(attributes);
  return ibv_modify_qp(qp, &attributes, mask);
}

// Where it begins is of no consequence; but not where an earlier one did.
uint32_t random_sequence() { return std::random_device{}() & 0xffffff; }

}  // namespace

void fail(ibv_qp* qp) noexcept {
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_ERR;
  if (const int error = ibv_modify_qp(qp, &attributes, IBV_QP_STATE)) {
    LOG_DEBUG("QP %u into the error state: %s", qp->qp_num, errno_text(error));
  }
}

VerbsConnectedPair::VerbsConnectedPair(rdma_cm_id* id, ibv_pd* pd, ibv_cq* cq,
                                       const QueueSizes& sizes, VerbsConnectedPair*& known_as,
                                       std::mutex& guard)
    : id_(id), known_as_(known_as), guard_(guard) {
  ibv_qp_init_attr attributes = wanted(IBV_QPT_RC, cq, sizes);
  ibv_qp* made = nullptr;
  make_pair(attributes, "ibv_create_qp",
            [&] { return (made = ibv_create_qp(pd, &attributes)) != nullptr; });
  take(made, attributes.cap);
  if (const int error = enter(id, qp_, IBV_QPS_INIT, [](ibv_qp_attr&) {})) {
    ibv_destroy_qp(qp_);
    throw_errno(error, "a queue pair's first state");
  }
  const std::lock_guard lock(guard_);
  known_as_ = this;
}

VerbsConnectedPair::~VerbsConnectedPair() {
  const std::lock_guard lock(guard_);
  known_as_ = nullptr;
  if (const int error = ibv_destroy_qp(qp_)) LOG_ERROR("ibv_destroy_qp: %s", errno_text(error));
}

int VerbsConnectedPair::start() noexcept {
  for (const ibv_qp_state state : {IBV_QPS_RTR, IBV_QPS_RTS}) {
    const int error = enter(id_, qp_, state, [&](ibv_qp_attr& attributes) {
      if (state == IBV_QPS_RTR) peer_number_ = attributes.dest_qp_num;
    });
    if (error != 0) return -error;
  }
  return 0;
}

uint32_t VerbsConnectedPair::path_mtu() const noexcept {
  ibv_qp_attr attributes{};
  ibv_qp_init_attr init{};
  if (ibv_query_qp(qp_, &attributes, IBV_QP_PATH_MTU, &init) != 0) return 0;
  return 128u << attributes.path_mtu;  // IBV_MTU_256 is 1
}

VerbsDatagramPair::VerbsDatagramPair(rdma_cm_id* id, ibv_pd* pd, ibv_cq* cq,
                                     const QueueSizes& sizes, std::mutex& guard)
    : id_(id), guard_(guard) {
  ibv_qp_init_attr attributes = wanted(IBV_QPT_UD, cq, sizes);
  id->verbs = pd->context;  // of the same device, but perhaps another (VerbsDevice::has)
  make_pair(attributes, "rdma_create_qp", [&] { return rdma_create_qp(id, pd, &attributes) == 0; });
  take(id->qp, attributes.cap);
}

VerbsDatagramPair::~VerbsDatagramPair() {
  const std::lock_guard lock(guard_);
  rdma_destroy_qp(id_);
}

int VerbsDatagramPair::attach(const Destination& group) noexcept {
  const auto& to = static_cast<const VerbsDestination&>(group);
  return -ibv_attach_mcast(qp_, &to.gid(), to.lid());
}

int VerbsDatagramPair::detach(const Destination& group) noexcept {
  const auto& from = static_cast<const VerbsDestination&>(group);
  return -ibv_detach_mcast(qp_, &from.gid(), from.lid());
}

VerbsSecondQueuePair::VerbsSecondQueuePair(rdma_cm_id* id, ibv_pd* pd, ibv_cq* cq,
                                           const QueueSizes& sizes)
    : id_(id), sequence_(random_sequence()) {
  ibv_qp_init_attr attributes = wanted(IBV_QPT_RC, cq, sizes);
  ibv_qp* made = nullptr;
  make_pair(attributes, "ibv_create_qp",
            [&] { return (made = ibv_create_qp(pd, &attributes)) != nullptr; });
  take(made, attributes.cap);
}

VerbsSecondQueuePair::~VerbsSecondQueuePair() {
  if (const int error = ibv_destroy_qp(qp_)) LOG_ERROR("ibv_destroy_qp: %s", errno_text(error));
}

// The three steps that the first one took.
int VerbsSecondQueuePair::connect(uint32_t peer_number, uint32_t peer_sequence) noexcept {
  for (const ibv_qp_state state : {IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS}) {
    const int error = enter(id_, qp_, state, [&](ibv_qp_attr& attributes) {
      if (state == IBV_QPS_RTR) {
        attributes.dest_qp_num = peer_number;
        attributes.rq_psn = peer_sequence;
      }
      if (state == IBV_QPS_RTS) attributes.sq_psn = sequence_;
    });
    // That is what is said of a connection that the peer has ended, which we are about to hear of.
    if (error == EINVAL) return -ECONNRESET;
    if (error != 0) return -error;
  }
  peer_number_ = peer_number;
  return 0;
}

}  // namespace sio::internal::provider::verbs
