// SPDX-License-Identifier: BSD-2-Clause
#include "raw/endpoint.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "process.h"

namespace sio_perf {
namespace {

constexpr uint32_t kInline = 256;  // bytes asked for, as the library does
constexpr uint32_t kMinReceives = 16;
constexpr size_t kCacheLine = 64;
constexpr unsigned kAcknowledgeEvery = 64;  // each takes a lock
constexpr uint32_t kSignalEvery = 16;

uint32_t receives_for(const Parameters& parameters) {
  return std::max(2 * parameters.tx_depth, kMinReceives);
}

// Cache lines are not to be shared.
size_t stride_for(const Parameters& parameters, uint32_t least = 0) {
  const size_t size = std::max<size_t>({parameters.size, least, kConfirmBytes});
  return (size + kCacheLine - 1) / kCacheLine * kCacheLine;
}

[[noreturn]] void fail_completion(const ibv_wc& completion) {
  if (completion.status == IBV_WC_WR_FLUSH_ERR) throw PeerGone("the other end has gone");
  throw PeerGone(std::string("the connection failed: ") + ibv_wc_status_str(completion.status));
}

}  // namespace

RawEndpoint::RawEndpoint(RawConnection& connection, const Parameters& parameters)
    : event_(parameters.event),
      block_(parameters.block),
      send_depth_(parameters.tx_depth),
      recv_depth_(receives_for(parameters)),
      signal_every_(std::clamp(send_depth_ / 4, 1u, kSignalEvery)),
      stride_(stride_for(parameters)),
      recv_stride_(stride_for(parameters, parameters.slot_size)),
      connection_(connection),
      id_(connection.id()),
      pd_(ibv_alloc_pd(id_->verbs)) {
  if (!pd_) fail_with_errno("ibv_alloc_pd");
  if (event_) make_channel();
  make_queue(send_queue_, send_depth_);
  make_queue(recv_queue_, recv_depth_);
  make_memory();
  make_queue_pair();
  link_requests();
  for (const uint32_t half : {0u, 1u}) post_half(half);
}

void RawEndpoint::make_channel() {
  channel_.reset(ibv_create_comp_channel(id_->verbs));
  if (!channel_) fail_with_errno("ibv_create_comp_channel");
  if (block_) return;
  const int fd = channel_->fd;
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event = {};
  event.events = EPOLLIN;
  if (epoll_ < 0 || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
    fail_with_errno("an epoll set");
  }
}

void RawEndpoint::make_queue_pair() {
  ibv_qp_init_attr attributes = {};
  attributes.send_cq = send_queue_.cq.get();
  attributes.recv_cq = recv_queue_.cq.get();
  attributes.cap = {send_depth_, recv_depth_, 1, 1, kInline};
  attributes.qp_type = IBV_QPT_RC;
  if (rdma_create_qp(id_, pd_.get(), &attributes) != 0) {
    fail_with_errno("rdma_create_qp", "choose a smaller --tx-depth");
  }
  queue_pair_.reset(id_);
  max_inline_ = std::min(attributes.cap.max_inline_data, kInline);
}

RawEndpoint::~RawEndpoint() {
  connection_.end();
  if (epoll_ >= 0) ::close(epoll_);
}

void RawEndpoint::make_queue(Queue& queue, uint32_t entries) {
  queue.cq.reset(ibv_create_cq(id_->verbs, static_cast<int>(entries), &queue, channel_.get(), 0));
  if (!queue.cq) fail_with_errno("ibv_create_cq", "choose a smaller --tx-depth");
}

void RawEndpoint::make_memory() {
  const size_t size = stride_ * send_depth_ + recv_stride_ * recv_depth_;
  memory_ = page_memory(size);
  region_.reset(ibv_reg_mr(pd_.get(), memory_.get(), size, IBV_ACCESS_LOCAL_WRITE));
  if (!region_)
    fail_with_errno("ibv_reg_mr", "raise the limit `ulimit -l`, or choose a smaller -t");
}

// What never changes of a request is written once; receives are posted by halves.
void RawEndpoint::link_requests() {
  const auto address = [](unsigned char* at) { return reinterpret_cast<uintptr_t>(at); };
  const auto length = static_cast<uint32_t>(stride_);
  const auto recv_length = static_cast<uint32_t>(recv_stride_);
  send_pieces_.resize(send_depth_);
  sends_.resize(send_depth_);
  for (uint32_t i = 0; i < send_depth_; ++i) {
    send_pieces_[i] = {address(send_slot(i)), length, region_->lkey};
    sends_[i].sg_list = &send_pieces_[i];
    sends_[i].num_sge = 1;
    sends_[i].opcode = IBV_WR_SEND;
  }
  recv_pieces_.resize(recv_depth_);
  recvs_.resize(recv_depth_);
  for (uint32_t i = 0; i < recv_depth_; ++i) {
    recv_pieces_[i] = {address(recv_slot(i)), recv_length, region_->lkey};
    const bool ends_half = (i + 1) % (recv_depth_ / 2) == 0;
    recvs_[i] = {i, ends_half ? nullptr : &recvs_[i + 1], &recv_pieces_[i], 1};
  }
}

SetUp RawEndpoint::set_up() const {
  ibv_qp_attr attributes;
  ibv_qp_init_attr initial;
  if (ibv_query_qp(id_->qp, &attributes, IBV_QP_PATH_MTU, &initial) != 0) {
    fail_with_errno("ibv_query_qp");
  }
  return {ibv_get_device_name(id_->verbs->device), 128u << attributes.path_mtu, max_inline_};
}

void RawEndpoint::post(uint32_t messages, uint32_t length) {
  const unsigned inlined = length <= max_inline_ ? unsigned{IBV_SEND_INLINE} : 0u;
  ibv_send_wr* const first = &sends_[posted_ % send_depth_];
  ibv_send_wr* last = first;
  for (uint32_t i = 0; i < messages; ++i) {
    ibv_send_wr& send = sends_[posted_ % send_depth_];
    ++posted_;
    send.sg_list->length = length;
    send.send_flags = inlined | (posted_ % signal_every_ == 0 ? unsigned{IBV_SEND_SIGNALED} : 0u);
    send.next = nullptr;
    if (i > 0) last->next = &send;
    last = &send;
  }
  ibv_send_wr* bad = nullptr;
  if (const int error = ibv_post_send(id_->qp, first, &bad); error != 0) {
    errno = error;
    fail_with_errno("ibv_post_send");
  }
}

void RawEndpoint::take_sent() {
  Batch batch;
  sent_ += poll(send_queue_, batch).size() * signal_every_;
}

std::span<const ibv_wc> RawEndpoint::poll(Queue& queue, Batch& batch) {
  const int count = ibv_poll_cq(queue.cq.get(), static_cast<int>(batch.size()), batch.data());
  if (count < 0) throw Failure("ibv_poll_cq failed");
  const std::span<const ibv_wc> taken(batch.data(), static_cast<size_t>(count));
  for (const ibv_wc& completion : taken) {
    if (completion.status != IBV_WC_SUCCESS) fail_completion(completion);
  }
  return taken;
}

std::span<const ibv_wc> RawEndpoint::take(Batch& batch) { return poll(recv_queue_, batch); }

std::span<const ibv_wc> RawEndpoint::wait(Batch& batch) {
  for (;;) {
    if (const auto taken = take(batch); !taken.empty()) return taken;
    check_stop();
    if (!event_) continue;
    // What came before the arming causes no event: look once more.
    if (!recv_queue_.armed) {
      arm(recv_queue_);
    } else {
      sleep();
    }
  }
}

void RawEndpoint::wait_any() {
  check_stop();
  if (!event_) return;
  if (!send_queue_.armed || !recv_queue_.armed) {
    arm(send_queue_);
    arm(recv_queue_);
  } else {
    sleep();
  }
}

const unsigned char* RawEndpoint::bytes(const ibv_wc& completion) const {
  return recv_slot(completion.wr_id);
}

bool RawEndpoint::give_back() {
  const uint32_t half = recv_depth_ / 2;
  if (++received_ % half != 0) return false;
  // Messages arrive in the order of the receives, so it is the half that is to be posted next.
  post_half(static_cast<uint32_t>(received_ / half - 1) % 2);
  return true;
}

void RawEndpoint::post_half(uint32_t half) {
  ibv_recv_wr* bad = nullptr;
  if (const int error = ibv_post_recv(id_->qp, &recvs_[half * (recv_depth_ / 2)], &bad)) {
    errno = error;
    fail_with_errno("ibv_post_recv");
  }
}

void RawEndpoint::arm(Queue& queue) {
  if (queue.armed) return;
  if (ibv_req_notify_cq(queue.cq.get(), 0) != 0) fail_with_errno("ibv_req_notify_cq");
  queue.armed = true;
}

// As a program does that waits for other things too, and as the library does. Or, if it is to
// block, as one that waits for completions alone: a system call less.
void RawEndpoint::sleep() {
  epoll_event ready;
  if (!block_ && ::epoll_wait(epoll_, &ready, 1, -1) < 0) {
    if (errno != EINTR) fail_with_errno("epoll_wait");
    return;
  }
  ibv_cq* cq = nullptr;
  void* context = nullptr;
  if (ibv_get_cq_event(channel_.get(), &cq, &context) != 0) {
    if (errno != EINTR) fail_with_errno("ibv_get_cq_event");
    return;
  }
  Queue& queue = *static_cast<Queue*>(context);
  queue.armed = false;
  if (++queue.unacknowledged < kAcknowledgeEvery) return;
  ibv_ack_cq_events(cq, queue.unacknowledged);
  queue.unacknowledged = 0;
}

}  // namespace sio_perf
