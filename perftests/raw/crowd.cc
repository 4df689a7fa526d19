// SPDX-License-Identifier: BSD-2-Clause
#include "raw/crowd.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>

namespace sio_perf {
namespace {

// As the library has them, so that equals are compared.
constexpr uint32_t kSendDepth = 72;  // its send quota and the spare ones
constexpr uint32_t kControlSlots = 4;
constexpr uint32_t kGather = 16;
constexpr uint32_t kInline = 256;
constexpr int kBacklog = 4096;
constexpr int kResolveMs = 10'000;
constexpr int kTickMs = 100;  // between looks whether a signal came

// Shared, all that may be in flight: a receiver that is not ready is not to be measured.
uint32_t recv_depth_of(const Parameters& parameters) {
  return parameters.shared ? parameters.connections * parameters.recv_slots + 64
                           : parameters.recv_slots + kControlSlots;
}

rdma_conn_param connection_parameters() {
  rdma_conn_param parameters = {};
  parameters.retry_count = 7;
  parameters.rnr_retry_count = 0;
  return parameters;
}

}  // namespace

RawCrowd::RawCrowd(const Parameters& parameters, ibv_context* context)
    : parameters_(parameters),
      context_(context),
      recv_depth_(recv_depth_of(parameters)),
      // The peer is one of ours, and has no more in flight.
      queue_share_(kSendDepth +
                   (parameters.shared ? parameters.tx_depth + kControlSlots : recv_depth_)),
      pd_(ibv_alloc_pd(context)),
      channel_(rdma_create_event_channel()),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!pd_) fail_with_errno("ibv_alloc_pd");
  if (!channel_) fail_with_errno("rdma_create_event_channel", "load the module rdma_ucm");
  if (wake_ < 0) fail_with_errno("eventfd");
  ::fcntl(channel_->fd, F_SETFL, ::fcntl(channel_->fd, F_GETFL) | O_NONBLOCK);
  members_.reserve(parameters.connections);
  ibv_device_attr device = {};
  if (ibv_query_device(context, &device) != 0) fail_with_errno("ibv_query_device");
  max_sge_ = std::min(kGather, static_cast<uint32_t>(device.max_sge));
  make_queues(device);
  make_memory();
  if (parameters.like_sockets)
    thread_.emplace(
        *channel_, [this] { take_connection_events(0); }, [this] { wake(); });
}

RawCrowd::~RawCrowd() {
  thread_.reset();
  for (Member& member : members_) {
    if (member.set >= 0) ::close(member.set);
    if (member.has_pair) rdma_destroy_qp(member.id.get());
    member.id.reset();
  }
  ::close(wake_);
}

void RawCrowd::make_queues(const ibv_device_attr& device) {
  completions_.reset(ibv_create_comp_channel(context_));
  if (!completions_) fail_with_errno("ibv_create_comp_channel");
  ::fcntl(completions_->fd, F_SETFL, ::fcntl(completions_->fd, F_GETFL) | O_NONBLOCK);
  pairs_each_ =
      std::clamp(static_cast<uint32_t>(device.max_cqe) / queue_share_, 1u, parameters_.connections);
  if (!parameters_.shared) return;
  ibv_srq_init_attr attributes = {};
  attributes.attr.max_wr = recv_depth_;
  attributes.attr.max_sge = 1;
  shared_.reset(ibv_create_srq(pd_.get(), &attributes));
  if (!shared_) fail_with_errno("ibv_create_srq", "choose fewer connections, or a smaller -t");
}

void RawCrowd::make_memory() {
  const size_t receives = shared_ ? recv_depth_ : size_t{parameters_.connections} * recv_depth_;
  const size_t size = receives * parameters_.slot_size;
  memory_ = page_memory(size);
  region_.reset(ibv_reg_mr(pd_.get(), memory_.get(), size, IBV_ACCESS_LOCAL_WRITE));
  if (!region_) fail_with_errno("ibv_reg_mr", "raise the limit `ulimit -l`");
  if (!shared_) return;
  for (uint32_t slot = 0; slot < recv_depth_; ++slot) returned_.push_back(slot);
  post_shared();
}

// With receives of its own if they do not share.
void RawCrowd::make_pair(Member& member, uint32_t number) {
  if (number / pairs_each_ == queues_.size()) {
    const uint32_t left = parameters_.connections - number;
    const int entries = static_cast<int>(std::min(left, pairs_each_) * queue_share_);
    queues_.emplace_back(ibv_create_cq(context_, entries, nullptr, completions_.get(), 0));
    if (!queues_.back()) fail_with_errno("ibv_create_cq");
    if (thread_) wake();  // who sleeps has not armed this one
  }
  ibv_qp_init_attr attributes = {};
  attributes.send_cq = attributes.recv_cq = queues_[number / pairs_each_].get();
  attributes.srq = shared_.get();
  attributes.cap = {kSendDepth, shared_ ? 0 : recv_depth_, max_sge_, 1, kInline};
  attributes.qp_type = IBV_QPT_RC;
  if (rdma_create_qp(member.id.get(), pd_.get(), &attributes) != 0) {
    fail_with_errno("rdma_create_qp");
  }
  member.has_pair = true;
  max_inline_ = std::min(attributes.cap.max_inline_data, kInline);
  if (shared_) {
    numbers_[member.id->qp->qp_num] = number;
  } else {
    post_receives(number, 0, recv_depth_);
  }
}

// Connections -------------------------------------------------------------------------------------

std::vector<uint16_t> RawCrowd::listen(const Address& address) {
  Address at = address;
  rdma_cm_id* id = nullptr;
  if (rdma_create_id(channel_.get(), &id, nullptr, RDMA_PS_TCP) != 0) {
    fail_with_errno("rdma_create_id");
  }
  listener_.reset(id);
  if (rdma_bind_addr(id, at.get()) != 0 || rdma_listen(id, kBacklog) != 0) {
    fail_with_errno("rdma_listen");
  }
  return {ntohs(rdma_get_src_port(id))};
}

void RawCrowd::connect(const std::string& host, const std::vector<uint16_t>& ports, uint32_t count,
                       uint32_t at_once) {
  auto locked = lock();
  while (established_ < count) {
    check_stop();
    while (members_.size() < count && members_.size() - established_ < at_once) {
      start_connect(host, ports.at(0));
    }
    if (thread_) {
      thread_->wait(locked, kTickMs);
    } else {
      take_connection_events(kTickMs);
    }
  }
}

RawCrowd::Member& RawCrowd::add_member(rdma_cm_id* id) {
  Member& member = members_.emplace_back();
  member.id.reset(id);
  if (parameters_.like_sockets) {
    member.set = ::epoll_create1(EPOLL_CLOEXEC);
    if (member.set < 0) fail_with_errno("epoll_create1");
  }
  return member;
}

void RawCrowd::start_connect(const std::string& host, uint16_t port) {
  Address to = resolve(host, port, false);
  rdma_cm_id* id = nullptr;
  if (rdma_create_id(channel_.get(), &id, reinterpret_cast<void*>(members_.size()), RDMA_PS_TCP) !=
      0) {
    fail_with_errno("rdma_create_id");
  }
  add_member(id);
  if (rdma_resolve_addr(id, nullptr, to.get(), kResolveMs) != 0) {
    fail_with_errno("rdma_resolve_addr");
  }
}

bool RawCrowd::take_connection_events(int timeout_ms) {
  pollfd waited = {channel_->fd, POLLIN, 0};
  if (timeout_ms != 0 && ::poll(&waited, 1, timeout_ms) <= 0) return false;
  bool some = false;
  rdma_cm_event* event = nullptr;
  while (rdma_get_cm_event(channel_.get(), &event) == 0) {
    // Acknowledged before anything is done, as ids can not end before.
    rdma_cm_event copy = *event;
    rdma_ack_cm_event(event);
    handle(copy);
    some = true;
  }
  if (errno != EAGAIN && errno != EINTR) fail_with_errno("rdma_get_cm_event");
  return some;
}

void RawCrowd::handle(rdma_cm_event& event) {
  const auto number = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(event.id->context));
  rdma_conn_param parameters = connection_parameters();
  const auto check = [](int result, const char* what) {
    if (result != 0) fail_with_errno(what);
  };
  switch (event.event) {
    case RDMA_CM_EVENT_ADDR_RESOLVED:
      return check(rdma_resolve_route(event.id, kResolveMs), "rdma_resolve_route");
    case RDMA_CM_EVENT_ROUTE_RESOLVED:
      make_pair(members_[number], number);
      return check(rdma_connect(event.id, &parameters), "rdma_connect");
    case RDMA_CM_EVENT_CONNECT_REQUEST:
      return accept(event.id);
    case RDMA_CM_EVENT_ESTABLISHED:
      ++established_;
      return;
    case RDMA_CM_EVENT_DISCONNECTED:
      if (!listener_) throw PeerGone("the other end has closed a connection");
      rdma_disconnect(event.id);
      return;
    case RDMA_CM_EVENT_TIMEWAIT_EXIT:
      return;
    default:
      throw Failure(std::string("connection ") + std::to_string(number) + ": " +
                    rdma_event_str(event.event) + " (" + std::to_string(event.status) + ")");
  }
}

void RawCrowd::accept(rdma_cm_id* id) {
  if (members_.size() == parameters_.connections) {  // nobody that was announced
    const CmId refused(id);
    rdma_reject(id, nullptr, 0);
    return;
  }
  const auto number = static_cast<uint32_t>(members_.size());
  Member& member = add_member(id);
  id->context = reinterpret_cast<void*>(size_t{number});
  make_pair(member, number);
  rdma_conn_param parameters = connection_parameters();
  if (rdma_accept(id, &parameters) != 0) fail_with_errno("rdma_accept");
}

// Messages ----------------------------------------------------------------------------------------

uint32_t RawCrowd::send(uint32_t number, const unsigned char* message, uint32_t length,
                        uint32_t count) {
  if (length > max_inline_)
    throw Failure("the device does not take so much inline; choose a smaller -s");
  Member& member = members_[number];
  ibv_sge piece = {reinterpret_cast<uintptr_t>(message), length, 0};
  const uint32_t room = kSendDepth - (member.posted - member.completed);
  const uint32_t all = std::min(count, room);
  for (uint32_t sent = 0; sent < all;) {
    const uint32_t some = std::min<uint32_t>(all - sent, kBatch);
    for (uint32_t i = 0; i < some; ++i) {
      const bool signalled = ++member.posted % kSignalEvery == 0;
      sends_[i] = {};
      sends_[i].wr_id = uint64_t{number} << 32;
      sends_[i].next = i + 1 < some ? &sends_[i + 1] : nullptr;
      sends_[i].sg_list = &piece;
      sends_[i].num_sge = 1;
      sends_[i].opcode = IBV_WR_SEND;
      sends_[i].send_flags = IBV_SEND_INLINE | (signalled ? unsigned{IBV_SEND_SIGNALED} : 0u);
    }
    ibv_send_wr* bad = nullptr;
    if (const int error = ibv_post_send(member.id->qp, sends_.data(), &bad); error != 0) {
      errno = error;
      fail_with_errno("ibv_post_send");
    }
    sent += some;
  }
  messages_ += all;
  member.blocked = all < count;
  return all;
}

uint32_t RawCrowd::member_of(const ibv_wc& completion) const {
  if (!shared_ || (completion.opcode & IBV_WC_RECV) == 0) {
    return static_cast<uint32_t>(completion.wr_id >> 32);
  }
  return numbers_.at(completion.qp_num);
}

// Of a server all connections end when the client goes, which its dialogue hears of.
void RawCrowd::fail(const ibv_wc& completion) const {
  if (listener_) return;
  throw PeerGone(std::string("a connection failed: ") + ibv_wc_status_str(completion.status));
}

void RawCrowd::give_back(uint32_t number, uint32_t slot) {
  if (shared_) {
    returned_.push_back(slot);
    return;
  }
  // Messages come in the order of the receives.
  const uint32_t half = recv_depth_ / 2;
  Member& member = members_[number];
  if (++member.received % half == 0 || member.received == recv_depth_) {
    const uint32_t first = member.received == recv_depth_ ? half : member.received - half;
    post_receives(number, first, member.received - first);
  }
  if (member.received == recv_depth_) member.received = 0;
}

void RawCrowd::post_receives(uint32_t member, uint32_t first, uint32_t count) {
  std::array<uint32_t, kBatch> slots;
  while (count > 0) {
    const uint32_t some = std::min<uint32_t>(count, kBatch);
    for (uint32_t i = 0; i < some; ++i) slots[i] = first + i;
    ibv_recv_wr* bad = nullptr;
    const int error =
        ibv_post_recv(members_[member].id->qp, chain(member, std::span(slots).first(some)), &bad);
    if (error != 0) {
      errno = error;
      fail_with_errno("ibv_post_recv");
    }
    first += some;
    count -= some;
  }
}

void RawCrowd::post_shared() {
  while (!returned_.empty()) {
    const size_t some = std::min<size_t>(returned_.size(), kBatch);
    ibv_recv_wr* bad = nullptr;
    const int error =
        ibv_post_srq_recv(shared_.get(), chain(0, std::span(returned_).last(some)), &bad);
    if (error != 0) {
      errno = error;
      fail_with_errno("ibv_post_srq_recv");
    }
    returned_.resize(returned_.size() - some);
  }
}

ibv_recv_wr* RawCrowd::chain(uint32_t member, std::span<const uint32_t> slots) {
  for (size_t i = 0; i < slots.size(); ++i) {
    pieces_[i] = {reinterpret_cast<uintptr_t>(slot(member, slots[i])), parameters_.slot_size,
                  region_->lkey};
    receives_[i] = {uint64_t{member} << 32 | slots[i],
                    i + 1 < slots.size() ? &receives_[i + 1] : nullptr, &pieces_[i], 1};
  }
  return receives_.data();
}

// Sleep -------------------------------------------------------------------------------------------

// What came before the arming causes no event. Whoever calls polls once more and comes back; so it
// is armed in one call, and slept in the next.
void RawCrowd::sleep(int timeout_ms) {
  if (!armed_) {
    const auto locked = lock();
    for (const auto& queue : queues_) {
      if (ibv_req_notify_cq(queue.get(), 0) != 0) fail_with_errno("ibv_req_notify_cq");
    }
    armed_ = true;
    if (!queues_.empty()) return;
  }
  pollfd waited[] = {
      {completions_->fd, POLLIN, 0}, {thread_ ? -1 : channel_->fd, POLLIN, 0}, {wake_, POLLIN, 0}};
  if (::poll(waited, std::size(waited), timeout_ms) <= 0) return;
  armed_ = false;
  ibv_cq* queue = nullptr;
  void* context = nullptr;
  while (ibv_get_cq_event(completions_.get(), &queue, &context) == 0) ibv_ack_cq_events(queue, 1);
  eventfd_t count = 0;
  ::eventfd_read(wake_, &count);
}

void RawCrowd::wake() { ::eventfd_write(wake_, 1); }

}  // namespace sio_perf
