// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/datagram_endpoint.h"

#include <netinet/in.h>

#include <cstring>

#include "base/error.h"
#include "provider/soft/addresses.h"
#include "provider/soft/connection_manager.h"
#include "provider/soft/device.h"
#include "provider/soft/lookups.h"
#include "provider/soft/numbers.h"

namespace sio::internal::provider::soft {

SoftDatagramEndpoint::SoftDatagramEndpoint(SoftConnectionManager& manager, Lookups& lookups,
                                           SoftDevice& device)
    : manager_(manager), lookups_(lookups), device_(device), serial_(next_serial()) {}

SoftDatagramEndpoint::~SoftDatagramEndpoint() { lookups_.end(serial_); }

// `reuse` would let two sockets have one port, and one of them get what is for the other.
int SoftDatagramEndpoint::bind(const sockaddr* address, bool) noexcept {
  if (fd_) return -EINVAL;
  OwnFd fd(::socket(address->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return -errno;
  // An IPv6 socket takes IPv6 only, so that both families can be at one port.
  const int on = 1;
  if (address->sa_family == AF_INET6 &&
      setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) {
    return -errno;
  }
  if (::bind(fd.get(), address, size_of(address)) != 0) return -errno;
  fd_ = std::move(fd);
  socket_.fd = fd_.get();
  socket_.local = name_of(socket_.fd);
  // Fails where there is no such interface; then nothing that goes to groups leaves.
  (void)choose_interface(socket_.fd, socket_.local);
  return 0;
}

int SoftDatagramEndpoint::listen(int) noexcept {
  if (!fd_) return -EINVAL;
  socket_.can_be_found = true;
  return 0;
}

int SoftDatagramEndpoint::resolve(const sockaddr* peer, int) noexcept {
  if (peer_.ss_family != AF_UNSPEC) return -EINVAL;
  sockaddr_storage source;
  if (const int error = source_for(peer, source)) return -error;
  if (!fd_) socket_.local = source;
  std::memcpy(&peer_, peer, size_of(peer));
  manager_.tell(ConnectionEvent::Kind::kResolved, serial_);
  return 0;
}

int SoftDatagramEndpoint::connect(std::span<const std::byte> data) noexcept {
  if (peer_.ss_family == AF_UNSPEC || !data.empty()) return -EINVAL;
  return lookups_.begin(serial_, peer_, socket_.local);
}

// There is nobody to ask. A queue pair that is attached joins for itself.
int SoftDatagramEndpoint::join(const sockaddr* group, bool) noexcept {
  if (!fd_ || group->sa_family != socket_.local.ss_family) return -EINVAL;
  sockaddr_storage address{};
  std::memcpy(&address, group, size_of(group));
  if (!is_group(address)) return -EINVAL;
  (address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                 : reinterpret_cast<sockaddr_in&>(address).sin_port) =
      htons(kGroupPort);
  try {
    ConnectionEvent event{ConnectionEvent::Kind::kEstablished, serial_};
    event.destination = std::make_unique<SoftDestination>(address, kGroupNumber);
    manager_.tell(std::move(event));
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
  return 0;
}

Device* SoftDatagramEndpoint::device() const noexcept {
  return socket_.local.ss_family == AF_UNSPEC ? nullptr : &device_;
}

PortInfo SoftDatagramEndpoint::port_info() const { return device_.port_info(socket_.local); }

std::unique_ptr<QueuePair> SoftDatagramEndpoint::create_queue_pair(CompletionQueue& queue,
                                                                   const QueueSizes& sizes) {
  if (!fd_) throw_errno(EINVAL, "a queue pair for datagrams at no address");
  return std::make_unique<SoftDatagramPair>(socket_, device_.memory(),
                                            static_cast<SoftCompletionQueue&>(queue), sizes);
}

std::unique_ptr<SecondQueuePair> SoftDatagramEndpoint::create_second_pair(CompletionQueue&,
                                                                          const QueueSizes&) {
  throw_errno(EINVAL, "a second queue pair for datagrams");
}

std::unique_ptr<Destination> SoftDatagramEndpoint::source_of(const ibv_wc& wc, const void* grh) {
  return std::make_unique<SoftDestination>(read_grh(grh), wc.src_qp);
}

}  // namespace sio::internal::provider::soft
