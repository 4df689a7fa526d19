// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "base/fd.h"
#include "provider/provider.h"
#include "provider/soft/datagram_pair.h"

namespace sio::internal::provider::soft {

class Lookups;
class SoftConnectionManager;
class SoftDevice;

// Where datagrams come to: a UDP socket; or the question who is at an address.
class SoftDatagramEndpoint final : public Endpoint {
 public:
  SoftDatagramEndpoint(SoftConnectionManager& manager, Lookups& lookups, SoftDevice& device);
  ~SoftDatagramEndpoint() override;
  SoftDatagramEndpoint(const SoftDatagramEndpoint&) = delete;
  SoftDatagramEndpoint& operator=(const SoftDatagramEndpoint&) = delete;

  uint64_t serial() const noexcept override { return serial_; }
  int bind(const sockaddr* address, bool reuse) noexcept override;
  int listen(int backlog) noexcept override;
  int resolve(const sockaddr* peer, int timeout_ms) noexcept override;
  int connect(std::span<const std::byte> data) noexcept override;
  int accept(std::span<const std::byte>) noexcept override { return -EINVAL; }
  int reject(std::span<const std::byte>) noexcept override { return -EINVAL; }
  int disconnect() noexcept override { return -EINVAL; }
  sockaddr_storage local_address() const noexcept override { return socket_.local; }
  sockaddr_storage peer_address() const noexcept override { return peer_; }
  Device* device() const noexcept override;
  PortInfo port_info() const override;
  std::unique_ptr<QueuePair> create_queue_pair(CompletionQueue& queue,
                                               const QueueSizes& sizes) override;
  std::unique_ptr<SecondQueuePair> create_second_pair(CompletionQueue& queue,
                                                      const QueueSizes& sizes) override;
  std::unique_ptr<Destination> source_of(const ibv_wc& wc, const void* grh) override;
  int join(const sockaddr* group, bool receive) noexcept override;

 private:
  SoftConnectionManager& manager_;
  Lookups& lookups_;
  SoftDevice& device_;
  const uint64_t serial_;
  OwnFd fd_;
  DatagramSocket socket_;
  sockaddr_storage peer_{};
};

}  // namespace sio::internal::provider::soft
