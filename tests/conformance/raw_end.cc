// SPDX-License-Identifier: BSD-2-Clause
#include "conformance/raw_end.h"

#include <netinet/in.h>

#include <cstring>

#include "seam/events.h"

namespace sio::test {
namespace {

using internal::provider::ConnectionEvent;
using Kind = ConnectionEvent::Kind;

}  // namespace

RawEnd RawEnd::dial(const Address& peer, const Bytes& greeting, RawAnswer& answer,
                    uint32_t receives, const std::function<void()>& before_answering) {
  RawEnd end(connections().create_endpoint());
  must_not_fail(end.endpoint_->resolve(peer.get(), static_cast<int>(kSoon.count())), "resolve");
  expect_event(Kind::kResolved);
  end.make_queue_pair(receives);
  must_not_fail(end.endpoint_->connect(greeting), "connect");
  before_answering();
  ConnectionEvent event = next_event();
  answer = {event.kind == Kind::kEstablished, std::move(event.data)};
  return end;
}

void RawEnd::make_queue_pair(uint32_t receives) {
  internal::provider::Device* const device = endpoint_->device();
  if (device == nullptr) fail("no device");
  memory_.resize(kReceives * kReceiveBytes + kSendBytes);
  region_ = device->register_memory(memory_.data(), memory_.size());
  channel_ = device->create_completion_channel();
  queue_ = channel_->create_queue(kReceives + kSends);
  pair_ = endpoint_->create_queue_pair(*queue_, {kSends, kReceives, 1, 0});
  for (uint32_t i = 0; i < receives; ++i) {
    ibv_sge sge{reinterpret_cast<uintptr_t>(memory_.data() + i * kReceiveBytes), kReceiveBytes,
                region_->lkey()};
    ibv_recv_wr wr{};
    wr.sg_list = &sge;
    wr.num_sge = 1;
    ibv_recv_wr* bad;
    must_not_fail(pair_->post_recv(&wr, &bad), "post_recv");
  }
}

void RawEnd::post(const Frame& frame) {
  if (used_ + frame.payload.size() > kSendBytes) fail("too much garbage");
  char* const at = memory_.data() + kReceives * kReceiveBytes + used_;
  if (!frame.payload.empty()) std::memcpy(at, frame.payload.data(), frame.payload.size());
  used_ += frame.payload.size();
  ibv_sge sge{reinterpret_cast<uintptr_t>(at), static_cast<uint32_t>(frame.payload.size()),
              region_->lkey()};
  if (frame.readable) {  // the rest is beyond the registered memory
    sge.addr = reinterpret_cast<uintptr_t>(memory_.data() + memory_.size() - *frame.readable);
  }
  ibv_send_wr wr{};
  wr.sg_list = &sge;
  wr.num_sge = frame.payload.empty() ? 0 : 1;
  wr.send_flags = IBV_SEND_SIGNALED | (frame.solicited ? unsigned{IBV_SEND_SOLICITED} : 0u);
  const bool immediate = frame.immediate.has_value();
  if (frame.write) {
    wr.opcode = immediate ? IBV_WR_RDMA_WRITE_WITH_IMM : IBV_WR_RDMA_WRITE;
  } else {
    wr.opcode = immediate ? IBV_WR_SEND_WITH_IMM : IBV_WR_SEND;
  }
  wr.imm_data = frame.immediate.value_or(0);
  ibv_send_wr* bad;
  must_not_fail(pair_->post_send(&wr, &bad), "post_send");
}

void RawEnd::poll_completions() {
  ibv_wc wc;
  while (queue_->poll(1, &wc) > 0) {
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
    const auto event = try_next_event(milliseconds(0));
    ended |= event && event->kind == Kind::kDisconnected;
    return ended || failed_;
  };
  return eventually(look, limit);
}

// ------------------------------------------------------------------------------------ listener

RawListener::RawListener(const Address& address) : endpoint_(connections().create_endpoint()) {
  must_not_fail(endpoint_->bind(address.get(), false), "bind");
  must_not_fail(endpoint_->listen(8), "listen");
}

uint16_t RawListener::port() const {
  const sockaddr_storage name = endpoint_->local_address();
  return ntohs(name.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(name).sin6_port
                                          : reinterpret_cast<const sockaddr_in&>(name).sin_port);
}

RawEnd RawListener::accept(const Bytes& greeting) {
  ConnectionEvent event = next_event();
  if (event.kind != Kind::kRequest) fail("event %d", static_cast<int>(event.kind));
  RawEnd end(std::move(event.incoming));
  endpoint_.reset();
  end.make_queue_pair(RawEnd::kReceives);
  must_not_fail(end.endpoint_->accept(greeting), "accept");
  return end;
}

void RawListener::reject(const Bytes& reason) {
  const ConnectionEvent event = next_event();
  if (event.kind != Kind::kRequest) fail("event %d", static_cast<int>(event.kind));
  must_not_fail(event.incoming->reject(reason), "reject");
}

}  // namespace sio::test
