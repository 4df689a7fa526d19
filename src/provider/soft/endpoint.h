// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "provider/soft/connection_manager.h"
#include "provider/soft/device.h"

namespace sio::internal::provider::soft {

// A name for one of the connection manager's conversations, which are all there is to it.
class SoftEndpoint final : public Endpoint {
 public:
  SoftEndpoint(SoftConnectionManager& manager, SoftDevice& device, uint64_t serial) noexcept
      : manager_(manager), device_(device), serial_(serial) {}
  ~SoftEndpoint() override { manager_.close(serial_); }
  SoftEndpoint(const SoftEndpoint&) = delete;
  SoftEndpoint& operator=(const SoftEndpoint&) = delete;

  uint64_t serial() const noexcept override { return serial_; }
  int bind(const sockaddr* address, bool reuse) noexcept override {
    return manager_.bind(serial_, address, reuse);
  }
  int listen(int backlog) noexcept override { return manager_.listen(serial_, backlog); }
  int resolve(const sockaddr* peer, int) noexcept override {
    return manager_.resolve(serial_, peer);
  }
  int connect(std::span<const std::byte> data) noexcept override {
    return manager_.connect(serial_, data);
  }
  int accept(std::span<const std::byte> data) noexcept override {
    return manager_.accept(serial_, data);
  }
  int reject(std::span<const std::byte> data) noexcept override {
    return manager_.reject(serial_, data);
  }
  int disconnect() noexcept override { return manager_.disconnect(serial_); }
  sockaddr_storage local_address() const noexcept override {
    return manager_.local_address(serial_);
  }
  sockaddr_storage peer_address() const noexcept override { return manager_.peer_address(serial_); }
  Device* device() const noexcept override {
    return manager_.has_device(serial_) ? &device_ : nullptr;
  }
  PortInfo port_info() const override;
  std::unique_ptr<QueuePair> create_queue_pair(CompletionQueue& queue,
                                               const QueueSizes& sizes) override {
    return manager_.create_queue_pair(serial_, queue, sizes);
  }
  std::unique_ptr<SecondQueuePair> create_second_pair(CompletionQueue& queue,
                                                      const QueueSizes& sizes) override {
    return manager_.create_second_pair(serial_, queue, sizes);
  }
  std::unique_ptr<Destination> source_of(const ibv_wc& wc, const void* grh) override;

 private:
  SoftConnectionManager& manager_;
  SoftDevice& device_;
  const uint64_t serial_;
};

}  // namespace sio::internal::provider::soft
