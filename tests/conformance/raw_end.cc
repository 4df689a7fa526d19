// SPDX-License-Identifier: BSD-2-Clause
#include "conformance/raw_end.h"

#include <poll.h>

#include <cerrno>
#include <cstring>

namespace sio::test {
namespace {

// The next event of that kind, or one of failure; acknowledged at once.
rdma_cm_event_type next_event(rdma_event_channel* channel, milliseconds limit,
                              Bytes* data = nullptr, rdma_cm_id** id = nullptr) {
  pollfd entry{channel->fd, POLLIN, 0};
  if (poll(&entry, 1, static_cast<int>(limit.count())) != 1) fail("no event of the CM");
  rdma_cm_event* event;
  must(rdma_get_cm_event(channel, &event), "rdma_get_cm_event");
  const rdma_cm_event_type type = event->event;
  const auto& param = event->param.conn;
  if (data != nullptr && param.private_data != nullptr) {
    const auto* bytes = static_cast<const std::byte*>(param.private_data);
    data->assign(bytes, bytes + param.private_data_len);
  }
  if (id != nullptr) *id = event->id;
  rdma_ack_cm_event(event);
  return type;
}

void expect_event(rdma_event_channel* channel, rdma_cm_event_type wanted) {
  const rdma_cm_event_type got = next_event(channel, kSoon);
  if (got != wanted) fail("%s instead of %s", rdma_event_str(got), rdma_event_str(wanted));
}

}  // namespace

RawEnd::RawEnd() : events_(rdma_create_event_channel()) {
  if (events_ == nullptr) fail("rdma_create_event_channel: %s", std::strerror(errno));
}

void RawEnd::adopt(rdma_cm_id* id) { id_.reset(id); }

// And has what is lost early (a peer may not be ready before it knows that it is connected) sent
// again after 34 ms: 4.096 us * 2^13.
rdma_conn_param RawEnd::parameters(const Bytes& greeting) const {
  uint8_t timeout = 13;
  rdma_set_option(id_.get(), RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &timeout, sizeof timeout);
  rdma_conn_param param{};
  param.private_data = greeting.data();
  param.private_data_len = static_cast<uint8_t>(greeting.size());
  param.retry_count = 7;
  param.rnr_retry_count = 7;
  return param;
}

RawEnd RawEnd::dial(const Address& peer, const Bytes& greeting, RawAnswer& answer,
                    uint32_t receives) {
  RawEnd end;
  rdma_cm_id* id;
  must(rdma_create_id(end.events_.get(), &id, nullptr, RDMA_PS_TCP), "rdma_create_id");
  end.adopt(id);
  Address to = peer;
  const int limit = static_cast<int>(kSoon.count());
  must(rdma_resolve_addr(id, nullptr, const_cast<sockaddr*>(to.get()), limit), "rdma_resolve_addr");
  expect_event(end.events_.get(), RDMA_CM_EVENT_ADDR_RESOLVED);
  must(rdma_resolve_route(id, limit), "rdma_resolve_route");
  expect_event(end.events_.get(), RDMA_CM_EVENT_ROUTE_RESOLVED);
  end.make_queue_pair(receives);
  rdma_conn_param param = end.parameters(greeting);
  must(rdma_connect(id, &param), "rdma_connect");
  answer.established =
      next_event(end.events_.get(), kSoon, &answer.data) == RDMA_CM_EVENT_ESTABLISHED;
  return end;
}

void RawEnd::make_queue_pair(uint32_t receives) {
  domain_.reset(ibv_alloc_pd(id_->verbs));
  memory_.resize(kReceives * kReceiveBytes + kSendBytes);
  region_.reset(ibv_reg_mr(domain_.get(), memory_.data(), memory_.size(), IBV_ACCESS_LOCAL_WRITE));
  queue_.reset(ibv_create_cq(id_->verbs, kReceives + kSends, nullptr, nullptr, 0));
  if (domain_ == nullptr || region_ == nullptr || queue_ == nullptr) fail("verbs objects");
  ibv_qp_init_attr attributes{};
  attributes.send_cq = attributes.recv_cq = queue_.get();
  attributes.qp_type = IBV_QPT_RC;
  attributes.cap = {kSends, kReceives, 1, 1, 0};
  must(rdma_create_qp(id_.get(), domain_.get(), &attributes), "rdma_create_qp");
  for (uint32_t i = 0; i < receives; ++i) {
    ibv_sge sge{reinterpret_cast<uintptr_t>(memory_.data() + i * kReceiveBytes), kReceiveBytes,
                region_->lkey};
    ibv_recv_wr wr{};
    wr.sg_list = &sge;
    wr.num_sge = 1;
    ibv_recv_wr* bad;
    must(-ibv_post_recv(id_->qp, &wr, &bad), "ibv_post_recv");
  }
}

void RawEnd::post(const Frame& frame) {
  if (used_ + frame.payload.size() > kSendBytes) fail("too much garbage");
  char* const at = memory_.data() + kReceives * kReceiveBytes + used_;
  if (!frame.payload.empty()) std::memcpy(at, frame.payload.data(), frame.payload.size());
  used_ += frame.payload.size();
  ibv_sge sge{reinterpret_cast<uintptr_t>(at), static_cast<uint32_t>(frame.payload.size()),
              region_->lkey};
  ibv_send_wr wr{};
  wr.sg_list = &sge;
  wr.num_sge = frame.payload.empty() ? 0 : 1;
  wr.send_flags = IBV_SEND_SIGNALED | IBV_SEND_SOLICITED;
  const bool immediate = frame.immediate.has_value();
  if (frame.write) {
    wr.opcode = immediate ? IBV_WR_RDMA_WRITE_WITH_IMM : IBV_WR_RDMA_WRITE;
  } else {
    wr.opcode = immediate ? IBV_WR_SEND_WITH_IMM : IBV_WR_SEND;
  }
  wr.imm_data = frame.immediate.value_or(0);
  ibv_send_wr* bad;
  must(-ibv_post_send(id_->qp, &wr, &bad), "ibv_post_send");
  ++posted_;
}

void RawEnd::poll_completions() {
  ibv_wc wc;
  while (ibv_poll_cq(queue_.get(), 1, &wc) > 0) {
    if (wc.status != IBV_WC_SUCCESS) {
      failed_ = true;
    } else if ((wc.opcode & IBV_WC_RECV) == 0) {
      ++acknowledged_;
    }
  }
}

bool RawEnd::await_end(milliseconds limit) {
  bool ended = false;
  const auto look = [&] {
    poll_completions();
    pollfd entry{events_->fd, POLLIN, 0};
    if (poll(&entry, 1, 0) == 1) {
      ended |= next_event(events_.get(), kSoon) == RDMA_CM_EVENT_DISCONNECTED;
    }
    return ended || failed_;
  };
  return eventually(look, limit);
}

// ------------------------------------------------------------------------------------ listener

RawListener::RawListener(const Address& address) {
  rdma_cm_id* id;
  must(rdma_create_id(end_.events_.get(), &id, nullptr, RDMA_PS_TCP), "rdma_create_id");
  end_.adopt(id);
  must(rdma_bind_addr(id, const_cast<sockaddr*>(address.get())), "rdma_bind_addr");
  must(rdma_listen(id, 8), "rdma_listen");
}

uint16_t RawListener::port() const { return ntohs(rdma_get_src_port(end_.id_.get())); }

rdma_cm_id* RawListener::await_request() {
  rdma_cm_id* id = nullptr;
  const rdma_cm_event_type type = next_event(end_.events_.get(), kSoon, nullptr, &id);
  if (type != RDMA_CM_EVENT_CONNECT_REQUEST) fail("%s", rdma_event_str(type));
  return id;
}

RawEnd RawListener::accept(const Bytes& greeting) {
  end_.adopt(await_request());
  end_.make_queue_pair(RawEnd::kReceives);
  rdma_conn_param param = end_.parameters(greeting);
  must(rdma_accept(end_.id_.get(), &param), "rdma_accept");
  return std::move(end_);
}

void RawListener::reject(const Bytes& reason) {
  rdma_cm_id* const id = await_request();
  must(rdma_reject(id, reason.data(), static_cast<uint8_t>(reason.size())), "rdma_reject");
  rdma_destroy_id(id);
}

}  // namespace sio::test
