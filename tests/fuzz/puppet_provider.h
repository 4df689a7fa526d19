// SPDX-License-Identifier: BSD-2-Clause
//
// A provider whose network and peer are the fuzzer: what is posted stays until the fuzzer says how
// it ends, and connections go as it says. It breaks none of the rules of verbs, and checks that the
// library breaks none: queues never overflow, memory is registered, what has gone is not used.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ledger.h"
#include "provider/provider.h"

namespace sio::test {

using internal::provider::ConnectionEvent;

// A completion queue's account: it has room for all that is posted and all that is not polled.
class PuppetQueue;

class PuppetPair final : public internal::provider::QueuePair {
 public:
  PuppetPair(PuppetQueue& queue, const internal::provider::QueueSizes& sizes);
  ~PuppetPair() override;

  uint32_t number() const noexcept override { return number_; }
  uint32_t peer_number() const noexcept override { return number_ + 1; }
  uint32_t max_inline() const noexcept override;
  uint32_t max_send_sge() const noexcept override { return sizes_.send_sge; }
  int post_send(ibv_send_wr* chain, ibv_send_wr** bad) noexcept override;
  int post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept override;
  void fail() noexcept override;

  Ledger& ledger() { return ledger_; }
  bool has_receive() const { return !receives_.empty() && !failed_; }
  bool has_send() const { return !sends_.empty() && !failed_; }
  uint32_t receive_length() const { return receives_.front().sge.length; }

  // A SEND of the peer's lands in the oldest receive, which must be there and long enough.
  struct Frame {
    ibv_wc_opcode opcode = IBV_WC_RECV;
    bool with_imm = true;
    bool solicited = true;
    uint32_t imm_data = 0;
    std::string payload;
  };
  void receive(const Frame& frame);
  // The oldest receive or send fails, and with it the queue pair.
  void fail_receive(ibv_wc_status status);
  void fail_send(ibv_wc_status status);
  // The peer's device has taken the n oldest sends.
  void complete_sends(unsigned n);
  bool failed() const { return failed_; }
  // What was posted to a queue pair that failed comes back: at once, unless puppet().flush_late.
  // Whether there was something.
  bool flush();

  // A completion of this queue pair was polled.
  void polled(const ibv_wc& wc);

 private:
  struct Send {
    uint64_t wr_id;
    ibv_wr_opcode opcode;
    bool signalled;
  };
  struct Receive {
    uint64_t wr_id;
    ibv_sge sge;
  };

  void check_send(const ibv_send_wr& wr);
  void finish_send(ibv_wc_status status);
  void finish_receive(ibv_wc wc, bool solicited);

  PuppetQueue& queue_;
  const internal::provider::QueueSizes sizes_;
  const uint32_t number_;
  Ledger ledger_;
  std::deque<Send> sends_;
  std::deque<Receive> receives_;
  std::map<void*, size_t> slots_;  // every one that was ever posted
  uint32_t sends_to_reap_ = 0;     // not covered by a completion that was polled
  std::deque<uint32_t> covers_;    // of each completion of a send: how many it covers
  uint32_t completed_ = 0;         // sends since the last that was signalled
  uint32_t receives_used_ = 0;     // posted and their completion not polled
  bool failed_ = false;
};

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
  internal::wire::Hello peer;  // what it has said of itself in its request

 private:
  const uint64_t serial_;
};

// The strings.
class Puppet {
 public:
  // How the next input's device is.
  uint32_t max_inline = 0;
  bool flush_late = false;
  // Of the next queue pair.
  std::shared_ptr<Talk> talk;

  // Those that are alive, in the order in which they were made.
  std::vector<PuppetEndpoint*> endpoints;
  std::vector<PuppetPair*> pairs;
  int regions = 0, channels = 0, queues = 0;

  bool nothing_left() const {
    return regions == 0 && channels == 0 && queues == 0 && pairs.empty() && endpoints.empty();
  }

  // The youngest endpoint in that state, or NULL.
  PuppetEndpoint* youngest(PuppetEndpoint::State state) const;
  // An event of an endpoint, for the control thread.
  void tell(ConnectionEvent event);
};

Puppet& puppet();

}  // namespace sio::test
