// SPDX-License-Identifier: BSD-2-Clause
#include "seam/desk.h"

#include <netinet/in.h>
#include <poll.h>

#include <cstring>

#include "seam/events.h"

namespace sio::test {

using internal::provider::ConnectionEvent;
using internal::provider::Device;
using internal::provider::QueuePair;
using internal::provider::QueueSizes;
using Kind = ConnectionEvent::Kind;

Desk::Desk(Device& device, uint32_t entries)
    : memory_(kSlot * kSlots),
      region_(device.register_memory(memory_.data(), memory_.size())),
      channel_(device.create_completion_channel()),
      queue_(channel_->create_queue(entries)) {}

ibv_sge Desk::piece(size_t n, size_t bytes) {
  return {reinterpret_cast<uintptr_t>(slot(n)), static_cast<uint32_t>(bytes), region_->lkey()};
}

std::vector<ibv_wc> Desk::expect(size_t n) {
  std::vector<ibv_wc> all(n);
  size_t come = 0;
  const auto look = [&] {
    const int more = queue_->poll(static_cast<int>(n - come), all.data() + come);
    come += static_cast<size_t>(must(more, "poll"));
    return come == n;
  };
  if (!eventually(look)) fail("%zu completions instead of %zu", come, n);
  return all;
}

std::vector<ibv_wc> Desk::poll_for(milliseconds time) {
  std::vector<ibv_wc> all;
  eventually(
      [&] {
        ibv_wc wc;
        while (must(queue_->poll(1, &wc), "poll") > 0) all.push_back(wc);
        return false;
      },
      time);
  return all;
}

bool Desk::sleep(milliseconds limit) {
  pollfd entry{channel_->fd(), POLLIN, 0};
  if (poll(&entry, 1, static_cast<int>(limit.count())) <= 0) return false;
  channel_->take_notifications(1);
  return true;
}

Device& own_device() {
  const auto endpoint = connections().create_endpoint();
  must_not_fail(endpoint->bind(Address::self().get(), false), "bind");
  Device* const device = endpoint->device();
  return device != nullptr ? *device : *internal::provider::instance().devices().front();
}

void receive_into(QueuePair& pair, Desk& desk, size_t slot, size_t bytes) {
  ibv_sge piece = desk.piece(slot, bytes);
  ibv_recv_wr wr{};
  wr.wr_id = slot;
  wr.sg_list = &piece;
  wr.num_sge = 1;
  ibv_recv_wr* bad;
  must_not_fail(pair.post_recv(&wr, &bad), "post_recv");
}

void send(QueuePair& pair, Desk& desk, size_t slot, size_t bytes, unsigned flags) {
  ibv_sge piece = desk.piece(slot, bytes);
  ibv_send_wr wr{};
  wr.wr_id = slot;
  wr.sg_list = &piece;
  wr.num_sge = 1;
  wr.opcode = IBV_WR_SEND;
  wr.send_flags = flags;
  ibv_send_wr* bad;
  must_not_fail(pair.post_send(&wr, &bad), "post_send");
}

Connection connect(Desk& near, const QueueSizes& near_sizes, Desk& far,
                   const QueueSizes& far_sizes) {
  const auto listener = connections().create_endpoint();
  must_not_fail(listener->bind(Address::self().get(), false), "bind");
  must_not_fail(listener->listen(4), "listen");
  const sockaddr_storage name = listener->local_address();
  Connection both;
  both.near.endpoint = connections().create_endpoint();
  must_not_fail(both.near.endpoint->resolve(reinterpret_cast<const sockaddr*>(&name), 5000),
                "resolve");
  expect_event(Kind::kResolved, both.near.endpoint.get());
  both.near.pair = both.near.endpoint->create_queue_pair(near.queue(), near_sizes);
  must_not_fail(both.near.endpoint->connect({}), "connect");
  both.far.endpoint = expect_event(Kind::kRequest, listener.get()).incoming;
  both.far.pair = both.far.endpoint->create_queue_pair(far.queue(), far_sizes);
  must_not_fail(both.far.endpoint->accept({}), "accept");
  expect_event(Kind::kEstablished, both.near.endpoint.get());
  expect_event(Kind::kEstablished, both.far.endpoint.get());
  return both;
}

void post_shared(internal::provider::SharedReceiveQueue& queue, Desk& desk, size_t slot) {
  ibv_sge piece = desk.piece(slot, Desk::kSlot);
  ibv_recv_wr wr{};
  wr.wr_id = slot;
  wr.sg_list = &piece;
  wr.num_sge = 1;
  ibv_recv_wr* bad;
  must_not_fail(queue.post_recv(&wr, &bad), "post_recv");
}

std::vector<uint64_t> wr_ids(const std::vector<ibv_wc>& completions) {
  std::vector<uint64_t> ids;
  for (const ibv_wc& wc : completions) ids.push_back(wc.wr_id);
  return ids;
}

}  // namespace sio::test
