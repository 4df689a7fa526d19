// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <rdma/rdma_cma.h>

#include <mutex>

#include "provider/provider.h"
#include "provider/verbs/device.h"

namespace sio::internal::provider::verbs {

class VerbsEndpoint;

// What a program meets first that takes its own machine for its peer.
void log_that_no_device_leads_there() noexcept;

// The RDMA connection manager: one event channel for all ids of the process.
class VerbsConnectionManager final : public ConnectionManager {
 public:
  explicit VerbsConnectionManager(std::span<const std::unique_ptr<VerbsDevice>> devices);
  ~VerbsConnectionManager() override;
  VerbsConnectionManager(const VerbsConnectionManager&) = delete;
  VerbsConnectionManager& operator=(const VerbsConnectionManager&) = delete;

  int fd() const noexcept override { return events_->fd; }
  bool next_event(ConnectionEvent& event) override;
  std::unique_ptr<Endpoint> create_endpoint() override;
  std::unique_ptr<Endpoint> create_datagram_endpoint() override;

  // Held while an event is taken; by calls that are answered by events; and while a queue pair is
  // destroyed, which librdmacm would otherwise read and modify while it takes certain events.
  std::mutex& answers() noexcept { return answers_; }

  VerbsDevice* find_device(const ibv_context* context) const noexcept;

 private:
  bool translate(const rdma_cm_event& from, ConnectionEvent& to);
  bool translate_of_datagrams(const rdma_cm_event& from, VerbsEndpoint& endpoint,
                              ConnectionEvent& to);

  std::span<const std::unique_ptr<VerbsDevice>> devices_;
  rdma_event_channel* events_;
  std::mutex answers_;
};

}  // namespace sio::internal::provider::verbs
