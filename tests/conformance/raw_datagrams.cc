// SPDX-License-Identifier: BSD-2-Clause
#include "conformance/raw_datagrams.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>
#include <string>

#include "seam/events.h"

namespace sio::test {
namespace {

using internal::provider::ConnectionEvent;
using Kind = ConnectionEvent::Kind;

constexpr size_t kLargest = 4096;
constexpr uint32_t kSends = 16;

}  // namespace

RawDatagrams::RawDatagrams(const Address& self, const Address& to)
    : endpoint_(connections().create_datagram_endpoint()), memory_(kLargest) {
  must_not_fail(endpoint_->bind(self.get(), false), "bind");
  internal::provider::Device* const device = endpoint_->device();
  if (device == nullptr) fail("no device");
  region_ = device->register_memory(memory_.data(), memory_.size());
  channel_ = device->create_completion_channel();
  queue_ = channel_->create_queue(2 * kSends);
  pair_ = endpoint_->create_queue_pair(*queue_, {kSends, 1, 1, 0});
  const auto question = connections().create_datagram_endpoint();
  must_not_fail(question->resolve(to.get(), static_cast<int>(kSoon.count())), "resolve");
  expect_event(Kind::kResolved, question.get());
  must_not_fail(question->connect({}), "connect");
  to_ = expect_event(Kind::kEstablished, question.get()).destination;
}

uint16_t RawDatagrams::port() const {
  const sockaddr_storage name = endpoint_->local_address();
  return Address(reinterpret_cast<const sockaddr*>(&name)).port();
}

void RawDatagrams::post(ibv_send_wr& wr, std::string_view payload) {
  std::memcpy(memory_.data(), payload.data(), payload.size());
  ibv_sge piece{reinterpret_cast<uintptr_t>(memory_.data()), static_cast<uint32_t>(payload.size()),
                region_->lkey()};
  wr.sg_list = &piece;
  wr.num_sge = 1;
  wr.send_flags |= IBV_SEND_SIGNALED;
  wr.wr.ud.ah = to_->handle();
  ibv_send_wr* bad;
  must_not_fail(pair_->post_send(&wr, &bad), "post_send");
  ibv_wc wc;
  if (!eventually([&] { return queue_->poll(1, &wc) == 1; })) fail("a send does not end");
}

void RawDatagrams::send(std::string_view payload, std::optional<uint32_t> immediate,
                        bool solicited) {
  ibv_send_wr wr{};
  wr.opcode = immediate ? IBV_WR_SEND_WITH_IMM : IBV_WR_SEND;
  if (immediate) wr.imm_data = htonl(*immediate);
  if (solicited) wr.send_flags = IBV_SEND_SOLICITED;
  wr.wr.ud.remote_qpn = to_->queue_pair();
  wr.wr.ud.remote_qkey = to_->key();
  post(wr, payload);
}

void RawDatagrams::send_astray(uint32_t wrong_key, uint32_t wrong_number) {
  ibv_send_wr wr{};
  wr.opcode = IBV_WR_SEND_WITH_IMM;
  wr.wr.ud.remote_qpn = to_->queue_pair() ^ wrong_number;
  wr.wr.ud.remote_qkey = to_->key() ^ wrong_key;
  post(wr, "astray");
}

// Neither the device nor the socket takes any of these; the last ones are the device's to drop.
void RawDatagrams::send_rubbish() {
  send("without immediate data", std::nullopt);
  send("", std::nullopt);
  send(std::string(1024, 'x'), 7);  // from port 0
  for (int i = 0; i < 200; ++i) send(std::string(static_cast<size_t>(i), 'x'), std::nullopt, i % 2);
  send_astray(1, 0);
  send_astray(0, 0x800);
}

}  // namespace sio::test
