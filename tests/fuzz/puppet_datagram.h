// SPDX-License-Identifier: BSD-2-Clause
//
// The puppet's part for datagram sockets: questions and memberships stay open until the fuzzer says
// how they end, datagrams go nowhere.
#pragma once

#include <deque>
#include <memory>

#include "datagram_ledger.h"
#include "provider/provider.h"
#include "puppet_work.h"

namespace sio::test {

// Its handle is known while it lives.
class PuppetDestination final : public internal::provider::Destination {
 public:
  PuppetDestination(const InetAddress& address, uint32_t queue_pair);
  ~PuppetDestination() override;
  ibv_ah* handle() const noexcept override {
    return reinterpret_cast<ibv_ah*>(const_cast<PuppetDestination*>(this));
  }
  uint32_t queue_pair() const noexcept override { return queue_pair_; }
  uint32_t key() const noexcept override { return 0x01234567; }

  // NULL: none that lives.
  static const PuppetDestination* of(const ibv_ah* handle);
  const InetAddress& address() const { return address_; }
  static size_t alive();

 private:
  const InetAddress address_;
  const uint32_t queue_pair_;
};

class PuppetDatagramPair final : public PuppetPairOf<internal::provider::QueuePair> {
 public:
  PuppetDatagramPair(PuppetQueue& queue, const internal::provider::QueueSizes& sizes,
                     std::shared_ptr<DatagramLedger> ledger);
  ~PuppetDatagramPair() override;
  int attach(const internal::provider::Destination& group) noexcept override;
  int detach(const internal::provider::Destination& group) noexcept override;

 private:
  void sent(const ibv_send_wr& wr, const std::string& payload) override;
  void sent_in_vain(const ibv_send_wr& wr) override;
  void send_ended() override;
  void came(const Frame& frame, char* at) override;
  void came_up(const ibv_wc& wc) override;

  struct Arrived {
    char* at;
    std::string bytes;
  };
  const std::shared_ptr<DatagramLedger> ledger_;
  std::deque<const ibv_ah*> under_way_;
  std::deque<Arrived> arrived_;
  std::set<const internal::provider::Destination*> groups_;
};

class PuppetDatagramEndpoint final : public internal::provider::Endpoint {
 public:
  enum class State { kIdle, kBound, kFound, kResolving, kResolved, kAsking, kJoining, kOver };

  PuppetDatagramEndpoint();
  ~PuppetDatagramEndpoint() override;

  uint64_t serial() const noexcept override { return serial_; }
  int bind(const sockaddr* address, bool reuse) noexcept override;
  int listen(int) noexcept override;
  int resolve(const sockaddr* peer, int timeout_ms) noexcept override;
  int connect(std::span<const std::byte> data) noexcept override;
  int join(const sockaddr* group, bool receive) noexcept override;
  int accept(std::span<const std::byte>) noexcept override { return -EOPNOTSUPP; }
  int reject(std::span<const std::byte>) noexcept override { return -EOPNOTSUPP; }
  int disconnect() noexcept override { return -EOPNOTSUPP; }
  sockaddr_storage local_address() const noexcept override { return local_.to_storage(); }
  sockaddr_storage peer_address() const noexcept override { return about.to_storage(); }
  internal::provider::Device* device() const noexcept override;
  internal::provider::PortInfo port_info() const override;
  std::unique_ptr<internal::provider::QueuePair> create_queue_pair(
      internal::provider::CompletionQueue& queue,
      const internal::provider::QueueSizes& sizes) override;
  std::unique_ptr<internal::provider::SecondQueuePair> create_second_pair(
      internal::provider::CompletionQueue& queue,
      const internal::provider::QueueSizes& sizes) override;
  std::unique_ptr<internal::provider::Destination> source_of(const ibv_wc& wc,
                                                             const void* grh) override;

  State state = State::kIdle;
  InetAddress about;  // whom it asks for, or the group

 private:
  const uint64_t serial_;
  const std::shared_ptr<DatagramLedger> ledger_;
  InetAddress local_;
};

// The strings for these.
struct DatagramPuppet {
  // What fails when it is called next, each once.
  enum Fails : uint32_t {
    kBind = 1,
    kListen = 2,
    kResolve = 4,
    kConnect = 8,
    kJoin = 16,
    kAttach = 32,
    kPair = 64,
    kSource = 128
  };
  uint32_t fails = 0;
  uint32_t mtu = 4096;
  std::shared_ptr<DatagramLedger> ledger;  // of the socket that is made next
  std::vector<PuppetDatagramEndpoint*> endpoints;
  std::vector<PuppetDatagramPair*> pairs;

  bool fails_now(Fails what) {
    const bool now = (fails & what) != 0;
    fails &= ~uint32_t{what};
    return now;
  }
};

DatagramPuppet& datagram_puppet();

}  // namespace sio::test
