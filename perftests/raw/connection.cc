// SPDX-License-Identifier: BSD-2-Clause
#include "raw/connection.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "process.h"

namespace sio_perf {
namespace {

constexpr int kResolveMs = 2000;
constexpr int kConnectMs = 60'000;  // the server may have another client
constexpr int kAcceptMs = 10'000;
constexpr int kBacklog = 16;

constexpr const char* kAddressRemedy =
    "give an address that an RDMA device leads to (`rdma link`, `ip addr`)";
constexpr const char* kServerRemedy =
    "start `sio_perf raw-server` of this version there, or check --port";

// Receives are posted before the other end may send, so that a retry would be a mistake of ours;
// it is not to look like a slow device.
rdma_conn_param connection_parameters() {
  rdma_conn_param parameters = {};
  parameters.retry_count = 7;
  parameters.rnr_retry_count = 0;
  return parameters;
}

struct EventDeleter {
  void operator()(rdma_cm_event* event) const { rdma_ack_cm_event(event); }
};
using CmEvent = std::unique_ptr<rdma_cm_event, EventDeleter>;

// Nothing when the time is over.
CmEvent next_event(rdma_event_channel* channel, int timeout_ms) {
  pollfd waited = {channel->fd, POLLIN, 0};
  int ready = 0;
  do {
    check_stop();
    ready = ::poll(&waited, 1, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  rdma_cm_event* event = nullptr;
  if (ready > 0 && rdma_get_cm_event(channel, &event) != 0) fail_with_errno("rdma_get_cm_event");
  return CmEvent(event);
}

CmChannel new_channel() {
  CmChannel channel(rdma_create_event_channel());
  if (!channel) fail_with_errno("rdma_create_event_channel", "load the module rdma_ucm");
  return channel;
}

CmId new_id(rdma_event_channel* channel) {
  rdma_cm_id* id = nullptr;
  if (rdma_create_id(channel, &id, nullptr, RDMA_PS_TCP) != 0) fail_with_errno("rdma_create_id");
  return CmId(id);
}

}  // namespace

RawConnection::RawConnection(const Address& address)
    : channel_(new_channel()), id_(new_id(channel_.get())) {
  Address to = address;
  if (rdma_resolve_addr(id(), nullptr, to.get(), kResolveMs) != 0) {
    fail_with_errno("rdma_resolve_addr", kAddressRemedy);
  }
  await(RDMA_CM_EVENT_ADDR_RESOLVED, kResolveMs * 2, kAddressRemedy);
  if (rdma_resolve_route(id(), kResolveMs) != 0) {
    fail_with_errno("rdma_resolve_route", kAddressRemedy);
  }
  await(RDMA_CM_EVENT_ROUTE_RESOLVED, kResolveMs * 2, kAddressRemedy);
}

RawConnection::RawConnection(CmId request) : channel_(new_channel()), id_(std::move(request)) {
  if (rdma_migrate_id(id(), channel_.get()) != 0) fail_with_errno("rdma_migrate_id");
}

void RawConnection::end() {
  if (!watcher_.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(end_watch_, &one, sizeof one);
  watcher_.join();
  ::close(end_watch_);
  rdma_disconnect(id());
}

void RawConnection::connect(const Parameters& parameters) {
  const EncodedParameters encoded = encode(parameters);
  rdma_conn_param connection = connection_parameters();
  connection.private_data = encoded.data();
  connection.private_data_len = static_cast<uint8_t>(encoded.size());
  if (rdma_connect(id(), &connection) != 0) fail_with_errno("rdma_connect");
  await(RDMA_CM_EVENT_ESTABLISHED, kConnectMs, kServerRemedy);
  watch();
}

void RawConnection::accept() {
  rdma_conn_param connection = connection_parameters();
  if (rdma_accept(id(), &connection) != 0) fail_with_errno("rdma_accept");
  await(RDMA_CM_EVENT_ESTABLISHED, kAcceptMs, nullptr);
  watch();
}

void RawConnection::await(rdma_cm_event_type wanted, int timeout_ms, const char* remedy) {
  const CmEvent event = next_event(channel_.get(), timeout_ms);
  if (event && event->event == wanted) return;
  std::string text = "no answer in time";
  if (event) {
    const bool rejected = event->event == RDMA_CM_EVENT_REJECTED;
    text = rejected ? "connection refused" : rdma_event_str(event->event);
    if (event->status < 0) text += std::string(" (") + std::strerror(-event->status) + ")";
  }
  throw Failure(text + (remedy != nullptr ? std::string("; ") + remedy : ""));
}

void RawConnection::watch() {
  end_watch_ = ::eventfd(0, EFD_CLOEXEC);
  if (end_watch_ < 0) fail_with_errno("eventfd");
  // Signals are for the thread that measures.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  watcher_ = std::thread([this] {
    pollfd waited[] = {{channel_->fd, POLLIN, 0}, {end_watch_, POLLIN, 0}};
    while (::poll(waited, 2, -1) > 0 && waited[1].revents == 0) {
      rdma_cm_event* event = nullptr;
      if (rdma_get_cm_event(channel_.get(), &event) != 0) return;
      const bool gone = event->event == RDMA_CM_EVENT_DISCONNECTED ||
                        event->event == RDMA_CM_EVENT_DEVICE_REMOVAL;
      rdma_ack_cm_event(event);
      if (gone) rdma_disconnect(id());
    }
  });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

RawListener::RawListener(const Address& address)
    : channel_(new_channel()), id_(new_id(channel_.get())) {
  Address at = address;
  if (rdma_bind_addr(id_.get(), at.get()) != 0 || rdma_listen(id_.get(), kBacklog) != 0) {
    fail_with_errno("--bind and --port", "choose another port, or an address of an RDMA device");
  }
}

RawListener::Request RawListener::wait() {
  for (;;) {
    if (auto request = take()) return std::move(*request);
  }
}

std::optional<RawListener::Request> RawListener::take() {
  CmEvent event = next_event(channel_.get(), -1);
  if (!event || event->event != RDMA_CM_EVENT_CONNECT_REQUEST) return std::nullopt;
  CmId id(event->id);
  EncodedParameters encoded = {};
  const auto& connection = event->param.conn;
  if (connection.private_data != nullptr) {
    std::memcpy(encoded.data(), connection.private_data,
                std::min<size_t>(encoded.size(), connection.private_data_len));
  }
  event.reset();  // an id can not end before its events were acknowledged
  try {
    const Parameters parameters = decode(encoded, Op::kCrowd);
    return Request{std::move(id), parameters};
  } catch (const Failure& failure) {
    print_lost(failure.what());
    rdma_reject(id.get(), nullptr, 0);
    return std::nullopt;
  }
}

}  // namespace sio_perf
