// SPDX-License-Identifier: BSD-2-Clause
#include "provider/verbs/connection_manager.h"

#include <fcntl.h>

#include "base/error.h"
#include "base/log.h"
#include "provider/verbs/endpoint.h"

namespace sio::internal::provider::verbs {
namespace {

using Kind = ConnectionEvent::Kind;

// enum ib_cm_rej_reason, kernel include/rdma/ib_cm.h: nobody listens there.
constexpr int kRejectedNoListener = 8;
constexpr int kRejectedByConsumer = 28;

// How a failure is told that is not a reject. status is a negative errno for all of these.
int failure_errno(rdma_cm_event_type type, int status) noexcept {
  if (status == -ENODEV) return ENODEV;  // an address that no RDMA device serves (127.0.0.1)
  switch (type) {
    case RDMA_CM_EVENT_ADDR_ERROR:
    case RDMA_CM_EVENT_ROUTE_ERROR:
      return status == -ETIMEDOUT || status >= 0 ? EHOSTUNREACH : -status;
    case RDMA_CM_EVENT_UNREACHABLE:
      return ETIMEDOUT;
    default:
      return status < 0 ? -status : ECONNRESET;
  }
}

}  // namespace

void log_that_no_device_leads_there() noexcept {
  LOG_ERROR(
      "no RDMA device leads to that address (none does to 127.0.0.1): sio_info lists the addresses "
      "that they have; or SIO_PROVIDER=soft, at both ends");
}

VerbsConnectionManager::VerbsConnectionManager(
    std::span<const std::unique_ptr<VerbsDevice>> devices)
    : devices_(devices), events_(rdma_create_event_channel()) {
  if (events_ == nullptr) throw_last_errno("rdma_create_event_channel");
  const int flags = fcntl(events_->fd, F_GETFL);
  fcntl(events_->fd, F_SETFL, flags | O_NONBLOCK);
  fcntl(events_->fd, F_SETFD, FD_CLOEXEC);
}

VerbsConnectionManager::~VerbsConnectionManager() { rdma_destroy_event_channel(events_); }

std::unique_ptr<Endpoint> VerbsConnectionManager::create_endpoint() {
  return std::make_unique<VerbsEndpoint>(*this, events_, RDMA_PS_TCP);
}

std::unique_ptr<Endpoint> VerbsConnectionManager::create_datagram_endpoint() {
  return std::make_unique<VerbsEndpoint>(*this, events_, RDMA_PS_UDP);
}

VerbsDevice* VerbsConnectionManager::find_device(const ibv_context* context) const noexcept {
  for (const auto& device : devices_) {
    if (device->has(context)) return device.get();
  }
  return nullptr;
}

// Everything is copied out and acknowledged at once: rdma_destroy_id waits for acknowledgements,
// so that nothing may be held back while an endpoint's owner is looked for. What nobody wants to
// know (questions of datagram sockets, which are answered here) may come without end: after some of
// it others have their turn, and the descriptor stays readable.
bool VerbsConnectionManager::next_event(ConnectionEvent& event) {
  constexpr int kMostUnwanted = 64;
  rdma_cm_event* raw;
  const std::lock_guard lock(answers_);
  for (int taken = 0; taken < kMostUnwanted; ++taken) {
    if (rdma_get_cm_event(events_, &raw) != 0) {
      if (errno != EAGAIN && errno != EINTR) LOG_ERROR("rdma_get_cm_event: %s", errno_text(errno));
      return false;
    }
    // Whatever becomes of it: who destroys its id waits for that.
    const std::unique_ptr<rdma_cm_event, int (*)(rdma_cm_event*)> acknowledged(raw,
                                                                               rdma_ack_cm_event);
    if (translate(*raw, event)) return true;
  }
  return false;
}

// False: nothing that anybody wants to know.
bool VerbsConnectionManager::translate(const rdma_cm_event& from, ConnectionEvent& to) {
  const bool request = from.event == RDMA_CM_EVENT_CONNECT_REQUEST;
  auto* endpoint =
      static_cast<VerbsEndpoint*>(request ? from.listen_id->context : from.id->context);
  to = {};
  to.endpoint = endpoint->serial();
  if (endpoint->for_datagrams() && translate_of_datagrams(from, *endpoint, to)) {
    return to.kind != Kind::kRequest;
  }
  const auto* data = static_cast<const std::byte*>(from.param.conn.private_data);
  const size_t size = data == nullptr ? 0 : from.param.conn.private_data_len;
  LOG_DEBUG("connection manager: %s, status %d", rdma_event_str(from.event), from.status);
  switch (from.event) {
    case RDMA_CM_EVENT_ADDR_RESOLVED:
      if (rdma_resolve_route(from.id, endpoint->resolve_timeout_ms()) == 0) return false;
      to.kind = Kind::kFailed;
      to.error = errno;
      if (to.error == ENODEV) log_that_no_device_leads_there();
      return true;
    case RDMA_CM_EVENT_ROUTE_RESOLVED:
      to.kind = Kind::kResolved;
      return true;
    case RDMA_CM_EVENT_CONNECT_REQUEST:
      to.kind = Kind::kRequest;
      to.incoming = std::make_unique<VerbsEndpoint>(*this, from.id);
      to.data.assign(data, data + size);
      return true;
    case RDMA_CM_EVENT_CONNECT_RESPONSE:
      if (!endpoint->has_pair()) return false;  // it was given up
      if (!endpoint->establish()) {
        endpoint->fail_pair();
        to.kind = Kind::kFailed;
        to.error = ECONNRESET;
        return true;
      }
      to.kind = Kind::kEstablished;
      to.data.assign(data, data + size);
      return true;
    case RDMA_CM_EVENT_ESTABLISHED:
      to.kind = Kind::kEstablished;
      to.data.assign(data, data + size);
      return true;
    case RDMA_CM_EVENT_REJECTED:
      endpoint->fail_pair();
      to.kind = Kind::kRefused;
      to.error = from.status == kRejectedNoListener || from.status == kRejectedByConsumer
                     ? ECONNREFUSED
                     : ECONNABORTED;
      to.data.assign(data, data + size);
      return true;
    case RDMA_CM_EVENT_ADDR_ERROR:
      if (from.status == -ENODEV) log_that_no_device_leads_there();
      [[fallthrough]];
    case RDMA_CM_EVENT_ROUTE_ERROR:
    case RDMA_CM_EVENT_CONNECT_ERROR:
    case RDMA_CM_EVENT_UNREACHABLE:
      to.kind = Kind::kFailed;
      to.error = failure_errno(from.event, from.status);
      return true;
    case RDMA_CM_EVENT_DISCONNECTED:
      to.kind = Kind::kDisconnected;
      return true;
    case RDMA_CM_EVENT_DEVICE_REMOVAL:
      to.kind = Kind::kDeviceGone;
      to.error = ENODEV;
      return true;
    default:  // address change, end of time-wait
      return false;
  }
}

// What is otherwise than with connections; false: nothing. Questions are answered here.
bool VerbsConnectionManager::translate_of_datagrams(const rdma_cm_event& from,
                                                    VerbsEndpoint& endpoint, ConnectionEvent& to) {
  switch (from.event) {
    case RDMA_CM_EVENT_CONNECT_REQUEST:
      to.kind = Kind::kRequest;
      endpoint.answer(from.id);
      return true;
    case RDMA_CM_EVENT_MULTICAST_ERROR:
      to.kind = Kind::kFailed;
      to.error = from.status < 0 ? -from.status : EHOSTUNREACH;
      return true;
    case RDMA_CM_EVENT_MULTICAST_JOIN:
    case RDMA_CM_EVENT_ESTABLISHED:
      try {
        to.destination = endpoint.found(from.param.ud);
        to.kind = Kind::kEstablished;
      } catch (const std::system_error& error) {
        to.kind = Kind::kFailed;
        to.error = error.code().value();
      }
      return true;
    case RDMA_CM_EVENT_UNREACHABLE:  // with a status of enum ib_cm_sidr_status: there was an answer
      if (from.status <= 0) return false;
      to.kind = Kind::kRefused;
      to.error = ECONNREFUSED;
      return true;
    default:
      return false;
  }
}

}  // namespace sio::internal::provider::verbs
