// SPDX-License-Identifier: BSD-2-Clause
#include "provider/verbs/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <atomic>
#include <cstring>

#include "base/error.h"
#include "base/log.h"
#include "provider/verbs/completion.h"
#include "provider/verbs/connection_manager.h"
#include "provider/verbs/destination.h"
#include "provider/verbs/device.h"
#include "provider/verbs/queue_pair.h"

namespace sio::internal::provider::verbs {
namespace {

// With the acknowledgement time-out (queue_pair.cc) a dead path is told after about 2 s. Not 7:
// the kernel's rxe takes that for "without end" (COMPST_ERROR_RETRY in its rxe_comp.c), as the
// specification has it for RNR retries only.
constexpr uint8_t kRetryCount = 6;
// Without end; it never happens while credits are exact.
constexpr uint8_t kRnrRetry = 7;

// The kernel's ENOTSUPP, which no header of user space has: of IPv6 groups on RoCE v2, say.
constexpr int kNotSupported = 524;

std::atomic<uint64_t> next_serial{1};

int last_error(int result) noexcept { return result == 0 ? 0 : -errno; }

socklen_t address_size(const sockaddr* address) noexcept {
  return address->sa_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

// That an address and port could not be bound, by what the kernel said. It says EADDRNOTAVAIL of a
// port that is taken on the wildcard address, too, and of an address of a device that is not used
// here perhaps EADDRINUSE. Whether it is the address or the port shows when any port will do.
int why_not_bound(int error, sockaddr_storage address, rdma_port_space space,
                  const VerbsConnectionManager& manager) noexcept {
  auto& port = address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port;
  rdma_cm_id* id;
  if (port == 0 || rdma_create_id(nullptr, &id, nullptr, space) != 0) return error;
  port = 0;
  const bool is_ours = rdma_bind_addr(id, reinterpret_cast<sockaddr*>(&address)) == 0 &&
                       (id->verbs == nullptr || manager.find_device(id->verbs) != nullptr);
  rdma_destroy_id(id);
  return is_ours ? -EADDRINUSE : -EADDRNOTAVAIL;
}

bool is_loopback(const sockaddr* address) noexcept {
  if (address->sa_family == AF_INET6) {
    return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
  }
  const in_addr v4 = reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
  return ntohl(v4.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
}

rdma_conn_param connection_parameters(std::span<const std::byte> data,
                                      const VerbsConnectedPair& pair) noexcept {
  rdma_conn_param param{};
  param.qp_num = pair.number();
  param.srq = pair.shares_receives() ? 1 : 0;
  param.private_data = data.data();
  param.private_data_len = static_cast<uint8_t>(data.size());
  param.retry_count = kRetryCount;
  param.rnr_retry_count = kRnrRetry;
  return param;
}

// The index in the port's table of the GID that the connection manager chose by address.
uint32_t gid_index(ibv_context* context, uint32_t port, const ibv_gid& gid) noexcept {
  constexpr size_t kMost = 256;
  ibv_gid_entry entries[kMost];
  const ssize_t n = ibv_query_gid_table(context, entries, kMost, 0);
  uint32_t found = 0;
  for (ssize_t i = 0; i < n; ++i) {
    if (entries[i].port_num != port || std::memcmp(&entries[i].gid, &gid, sizeof gid) != 0)
      continue;
    found = entries[i].gid_index;
    if (entries[i].gid_type == IBV_GID_TYPE_ROCE_V2) break;  // the same address may be there as v1
  }
  return found;
}

}  // namespace

VerbsEndpoint::VerbsEndpoint(VerbsConnectionManager& manager, rdma_event_channel* events,
                             rdma_port_space space)
    : manager_(manager), serial_(next_serial.fetch_add(1, std::memory_order_relaxed)) {
  check_errno(rdma_create_id(events, &id_, this, space), "rdma_create_id");
}

VerbsEndpoint::VerbsEndpoint(VerbsConnectionManager& manager, rdma_cm_id* incoming) noexcept
    : manager_(manager),
      id_(incoming),
      serial_(next_serial.fetch_add(1, std::memory_order_relaxed)),
      incoming_(true) {
  id_->context = this;
}

// librdmacm keeps a record of a group, which goes when that is left, not with the id.
VerbsEndpoint::~VerbsEndpoint() {
  if (group_.ss_family != AF_UNSPEC) {
    rdma_leave_multicast(id_, reinterpret_cast<sockaddr*>(&group_));
  }
  rdma_destroy_id(id_);
}

int VerbsEndpoint::bind(const sockaddr* address, bool reuse) noexcept {
  // The connection manager takes loopback addresses, but no connection to them ever stands.
  if (is_loopback(address)) return -EADDRNOTAVAIL;
  int on = reuse ? 1 : 0;
  if (reuse) rdma_set_option(id_, RDMA_OPTION_ID, RDMA_OPTION_ID_REUSEADDR, &on, sizeof on);
  // An IPv6 socket takes IPv6 only, so that both families can listen on one port.
  if (address->sa_family == AF_INET6) {
    on = 1;
    rdma_set_option(id_, RDMA_OPTION_ID, RDMA_OPTION_ID_AFONLY, &on, sizeof on);
  }
  sockaddr_storage copy{};
  std::memcpy(&copy, address, address_size(address));
  const int error = last_error(rdma_bind_addr(id_, reinterpret_cast<sockaddr*>(&copy)));
  if (error == 0 && id_->verbs != nullptr && device() == nullptr) return -ENODEV;
  if (error == 0 && for_datagrams() && is_infiniband_proper()) return -EOPNOTSUPP;
  if (error != -EADDRNOTAVAIL && error != -EADDRINUSE) return error;
  return why_not_bound(error, copy, id_->ps, manager_);
}

// There a datagram need not have the header that tells from where it is.
bool VerbsEndpoint::is_infiniband_proper() const noexcept {
  ibv_port_attr port{};
  return id_->verbs != nullptr && ibv_query_port(id_->verbs, id_->port_num, &port) == 0 &&
         port.link_layer == IBV_LINK_LAYER_INFINIBAND;
}

int VerbsEndpoint::listen(int backlog) noexcept {
  if (for_datagrams() && id_->qp == nullptr) return -EINVAL;
  const std::lock_guard lock(manager_.answers());
  return last_error(rdma_listen(id_, backlog));
}

int VerbsEndpoint::resolve(const sockaddr* peer, int timeout_ms) noexcept {
  resolve_timeout_ms_ = timeout_ms;
  sockaddr_storage copy{};
  std::memcpy(&copy, peer, address_size(peer));
  const std::lock_guard lock(manager_.answers());
  const int error =
      last_error(rdma_resolve_addr(id_, nullptr, reinterpret_cast<sockaddr*>(&copy), timeout_ms));
  if (error == -ENODEV) log_that_no_device_leads_there();
  return error;
}

int VerbsEndpoint::connect(std::span<const std::byte> data) noexcept {
  const std::lock_guard lock(manager_.answers());
  if (for_datagrams()) {
    rdma_conn_param param{};
    return last_error(rdma_connect(id_, &param));
  }
  if (pair_ == nullptr) return -EINVAL;
  rdma_conn_param param = connection_parameters(data, *pair_);
  return last_error(rdma_connect(id_, &param));
}

int VerbsEndpoint::accept(std::span<const std::byte> data) noexcept {
  const std::lock_guard lock(manager_.answers());
  if (pair_ == nullptr) return -EINVAL;
  if (const int error = pair_->start()) return error;
  rdma_conn_param param = connection_parameters(data, *pair_);
  return last_error(rdma_accept(id_, &param));
}

bool VerbsEndpoint::establish() noexcept {
  int error = -pair_->start();
  if (error == 0 && rdma_establish(id_) != 0) error = errno;
  if (error != 0) LOG_DEBUG("the peer's answer is of no use: %s", errno_text(error));
  return error == 0;
}

void VerbsEndpoint::fail_pair() noexcept {
  if (pair_ != nullptr) pair_->fail();
}

int VerbsEndpoint::reject(std::span<const std::byte> data) noexcept {
  return last_error(rdma_reject(id_, data.data(), static_cast<uint8_t>(data.size())));
}

int VerbsEndpoint::disconnect() noexcept {
  fail_pair();
  return last_error(rdma_disconnect(id_));
}

sockaddr_storage VerbsEndpoint::local_address() const noexcept {
  sockaddr_storage address{};
  const sockaddr* local = rdma_get_local_addr(id_);
  if (local->sa_family != AF_UNSPEC) std::memcpy(&address, local, address_size(local));
  return address;
}

sockaddr_storage VerbsEndpoint::peer_address() const noexcept {
  sockaddr_storage address{};
  const sockaddr* peer = rdma_get_peer_addr(id_);
  if (peer->sa_family != AF_UNSPEC) std::memcpy(&address, peer, address_size(peer));
  return address;
}

Device* VerbsEndpoint::device() const noexcept {
  return id_->verbs == nullptr ? nullptr : manager_.find_device(id_->verbs);
}

PortInfo VerbsEndpoint::port_info() const {
  PortInfo info;
  if (id_->verbs == nullptr) return info;
  info.device = ibv_get_device_name(id_->verbs->device);
  info.port = id_->port_num;
  ibv_gid gid{};
  std::memcpy(&gid, &id_->route.addr.addr.ibaddr.sgid, sizeof gid);
  char text[INET6_ADDRSTRLEN];
  if (inet_ntop(AF_INET6, gid.raw, text, sizeof text) != nullptr) info.gid = text;
  info.gid_index = gid_index(id_->verbs, info.port, gid);
  ibv_port_attr port{};
  if (for_datagrams() && ibv_query_port(id_->verbs, id_->port_num, &port) == 0) {
    info.mtu = 128u << port.active_mtu;  // IBV_MTU_256 is 1
    return info;
  }
  if (pair_ != nullptr) info.mtu = pair_->path_mtu();
  return info;
}

const VerbsDevice& VerbsEndpoint::device_in_use() const {
  const VerbsDevice* on = manager_.find_device(id_->verbs);
  if (on == nullptr) throw_errno(ENODEV, "device of the connection");
  return *on;
}

std::unique_ptr<QueuePair> VerbsEndpoint::create_queue_pair(CompletionQueue& queue,
                                                            const QueueSizes& sizes) {
  const VerbsDevice& on = device_in_use();
  ibv_cq* cq = static_cast<VerbsCompletionQueue&>(queue).get();
  std::mutex& guard = manager_.answers();
  if (pair_ != nullptr) throw_errno(EINVAL, "a second queue pair of an endpoint");
  if (for_datagrams()) {
    return std::make_unique<VerbsDatagramPair>(id_, on.protection_domain(), cq, sizes, guard);
  }
  try {
    return std::make_unique<VerbsConnectedPair>(id_, on.protection_domain(), cq, sizes, pair_,
                                                guard);
  } catch (const std::system_error& error) {
    // The kernel drops what happens to an id before it is accepted; that the peer has given up
    // shows in that the id can not be used.
    if (incoming_ && error.code().value() == EINVAL) throw_errno(ECONNABORTED, "the peer gave up");
    throw;
  }
}

std::unique_ptr<SecondQueuePair> VerbsEndpoint::create_second_pair(CompletionQueue& queue,
                                                                   const QueueSizes& sizes) {
  return std::make_unique<VerbsSecondQueuePair>(id_, device_in_use().protection_domain(),
                                                static_cast<VerbsCompletionQueue&>(queue).get(),
                                                sizes);
}

// ------------------------------------------------------------------------------------- datagrams

void VerbsEndpoint::answer(rdma_cm_id* question) noexcept {
  rdma_conn_param param{};
  param.qp_num = id_->qp == nullptr ? 0 : id_->qp->qp_num;
  const int result =
      param.qp_num != 0 ? rdma_accept(question, &param) : rdma_reject(question, nullptr, 0);
  if (result != 0) LOG_DEBUG("a question for a queue pair is not answered: %s", errno_text(errno));
  rdma_destroy_id(question);
}

std::unique_ptr<Destination> VerbsEndpoint::found(const rdma_ud_param& param) const {
  return std::make_unique<VerbsDestination>(device_in_use().protection_domain(), param);
}

std::unique_ptr<Destination> VerbsEndpoint::source_of(const ibv_wc& wc, const void* grh) {
  ibv_grh header;
  std::memcpy(&header, grh, sizeof header);
  return std::make_unique<VerbsDestination>(device_in_use().protection_domain(), wc, header,
                                            id_->port_num);
}

// The kernel lets no id join that listens, so that a group takes one of its own; and librdmacm
// attaches the queue pair of the very id, of which there is none here.
int VerbsEndpoint::join(const sockaddr* group, bool receive) noexcept {
  sockaddr_storage copy{};
  std::memcpy(&copy, group, address_size(group));
  rdma_cm_join_mc_attr_ex wish{};
  wish.comp_mask = RDMA_CM_JOIN_MC_ATTR_ADDRESS | RDMA_CM_JOIN_MC_ATTR_JOIN_FLAGS;
  wish.join_flags = receive ? RDMA_MC_JOIN_FLAG_FULLMEMBER : RDMA_MC_JOIN_FLAG_SENDONLY_FULLMEMBER;
  wish.addr = reinterpret_cast<sockaddr*>(&copy);
  const std::lock_guard lock(manager_.answers());
  const int error = last_error(rdma_join_multicast_ex(id_, &wish, nullptr));
  if (error == 0) group_ = copy;
  return error == -kNotSupported ? -EOPNOTSUPP : error;
}

}  // namespace sio::internal::provider::verbs
