// SPDX-License-Identifier: BSD-2-Clause
//
// A provider whose network and peer are the fuzzer: connections go as it says, and what is posted
// ends as it says (puppet_work.h).
#pragma once

#include <memory>
#include <vector>

#include "provider/provider.h"
#include "puppet_pair.h"

namespace sio::test {

using internal::provider::ConnectionEvent;

class PuppetEndpoint final : public internal::provider::Endpoint {
 public:
  enum class State {
    kIdle,
    kListening,
    kResolving,
    kResolved,
    kConnecting,
    kAsking,
    kAnswered,
    kStanding,
    kOver
  };

  explicit PuppetEndpoint(State state);
  ~PuppetEndpoint() override;

  uint64_t serial() const noexcept override { return serial_; }
  int bind(const sockaddr*, bool) noexcept override { return 0; }
  int listen(int) noexcept override { return state = State::kListening, 0; }
  int resolve(const sockaddr*, int) noexcept override { return state = State::kResolving, 0; }
  int connect(std::span<const std::byte> data) noexcept override;
  int accept(std::span<const std::byte> data) noexcept override;
  int reject(std::span<const std::byte>) noexcept override { return state = State::kOver, 0; }
  int disconnect() noexcept override;
  sockaddr_storage local_address() const noexcept override;
  sockaddr_storage peer_address() const noexcept override { return local_address(); }
  internal::provider::Device* device() const noexcept override;
  internal::provider::PortInfo port_info() const override { return {"puppet", 1, 0, "::1", 4096}; }
  std::unique_ptr<internal::provider::QueuePair> create_queue_pair(
      internal::provider::CompletionQueue& queue,
      const internal::provider::QueueSizes& sizes) override;
  std::unique_ptr<internal::provider::SecondQueuePair> create_second_pair(
      internal::provider::CompletionQueue& queue,
      const internal::provider::QueueSizes& sizes) override;
  std::unique_ptr<internal::provider::Destination> source_of(const ibv_wc&, const void*) override {
    return nullptr;
  }

  State state;
  PuppetPair* pair = nullptr;
  std::shared_ptr<Talk> talk;  // of its queue pair
  internal::wire::Hello peer;  // what it has said of itself in its request

 private:
  void we_say(std::span<const std::byte> data) const;

  const uint64_t serial_;
};

// The strings.
class Puppet {
 public:
  // How the next input's device is.
  uint32_t max_inline = 0;
  bool flush_late = false;
  bool lane_is_missing = false;  // no second queue pair can be made
  bool lane_is_cut = false;      // or connected
  uint32_t quota = 0;            // of SENDs under way
  bool stream = false;           // the type of sockets at both ends
  // Of the connection that is made next.
  std::shared_ptr<Talk> talk;

  // Those that are alive, in the order in which they were made.
  std::vector<PuppetEndpoint*> endpoints;
  std::vector<PuppetPair*> pairs;
  std::vector<PuppetWork*> works;  // these, and the second ones
  int regions = 0, channels = 0, queues = 0;

  bool nothing_left() const {
    return regions == 0 && channels == 0 && queues == 0 && works.empty() && endpoints.empty();
  }

  // Of an endpoint of whichever kind.
  static uint64_t next_serial();
  // The youngest endpoint in that state, or NULL.
  PuppetEndpoint* youngest(PuppetEndpoint::State state) const;
  // An event of an endpoint, for the control thread.
  void tell(ConnectionEvent event);
};

Puppet& puppet();
internal::provider::Device* puppet_device();

}  // namespace sio::test
