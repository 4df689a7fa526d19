// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <rdma/rdma_cma.h>

#include "provider/provider.h"

namespace sio::internal::provider::verbs {

class VerbsConnectedPair;
class VerbsConnectionManager;
class VerbsDevice;

// An id of the RDMA connection manager.
class VerbsEndpoint final : public Endpoint {
 public:
  // `space`: RDMA_PS_TCP for connections, RDMA_PS_UDP for datagrams.
  VerbsEndpoint(VerbsConnectionManager& manager, rdma_event_channel* events, rdma_port_space space);
  // Takes over the id of an incoming connection.
  VerbsEndpoint(VerbsConnectionManager& manager, rdma_cm_id* incoming) noexcept;
  ~VerbsEndpoint() override;
  VerbsEndpoint(const VerbsEndpoint&) = delete;
  VerbsEndpoint& operator=(const VerbsEndpoint&) = delete;

  uint64_t serial() const noexcept override { return serial_; }
  int bind(const sockaddr* address, bool reuse) noexcept override;
  int listen(int backlog) noexcept override;
  int resolve(const sockaddr* peer, int timeout_ms) noexcept override;
  int connect(std::span<const std::byte> data) noexcept override;
  int accept(std::span<const std::byte> data) noexcept override;
  int reject(std::span<const std::byte> data) noexcept override;
  int disconnect() noexcept override;
  sockaddr_storage local_address() const noexcept override;
  sockaddr_storage peer_address() const noexcept override;
  Device* device() const noexcept override;
  PortInfo port_info() const override;
  std::unique_ptr<QueuePair> create_queue_pair(CompletionQueue& queue,
                                               const QueueSizes& sizes) override;
  std::unique_ptr<SecondQueuePair> create_second_pair(CompletionQueue& queue,
                                                      const QueueSizes& sizes) override;
  std::unique_ptr<Destination> source_of(const ibv_wc& wc, const void* grh) override;
  int join(const sockaddr* group, bool receive) noexcept override;

  // The peer has accepted: true if so do we, and the connection stands; then the peer is told.
  // Under the manager's answers().
  bool establish() noexcept;
  // The peer wants no connection, or no more of it.
  void fail_pair() noexcept;
  // Whether there is something that the peer's answer is for.
  bool has_pair() const noexcept { return pair_ != nullptr; }
  int resolve_timeout_ms() const noexcept { return resolve_timeout_ms_; }
  bool for_datagrams() const noexcept { return id_->ps == RDMA_PS_UDP; }
  bool is_infiniband_proper() const noexcept;
  // Somebody asks for the queue pair here. Under the manager's answers().
  void answer(rdma_cm_id* question) noexcept;
  // What the connection manager has found. Throws.
  std::unique_ptr<Destination> found(const rdma_ud_param& param) const;

 private:
  const VerbsDevice& device_in_use() const;

  VerbsConnectionManager& manager_;
  rdma_cm_id* id_;
  const uint64_t serial_;
  VerbsConnectedPair* pair_ = nullptr;  // of the connection, while there is one
  bool incoming_ = false;
  sockaddr_storage group_{};  // that was joined
  int resolve_timeout_ms_ = 0;
};

}  // namespace sio::internal::provider::verbs
