// SPDX-License-Identifier: BSD-2-Clause
//
// The two queue pairs of a connection; what goes over them is held against its ledger.
#pragma once

#include <memory>

#include "ledger.h"
#include "puppet_work.h"

namespace sio::test {

class PuppetLane;

class PuppetPair final : public PuppetPairOf<internal::provider::QueuePair> {
 public:
  PuppetPair(PuppetQueue& queue, const internal::provider::QueueSizes& sizes,
             std::shared_ptr<Talk> talk, PuppetReceives* shared);
  ~PuppetPair() override;

  Ledger& ledger() { return ledger_; }
  PuppetLane* lane = nullptr;

 private:
  void sent(const ibv_send_wr& wr, const std::string& payload) override;
  void came(const Frame& frame, char* at) override;
  void came_up(const ibv_wc& wc) override;

  Ledger ledger_;
};

class PuppetLane final : public PuppetPairOf<internal::provider::SecondQueuePair> {
 public:
  PuppetLane(PuppetQueue& queue, const internal::provider::QueueSizes& sizes, PuppetPair& first);
  ~PuppetLane() override;

  uint32_t first_sequence() const noexcept override { return 0xabcdef; }
  int connect(uint32_t peer_number, uint32_t peer_sequence) noexcept override;

 private:
  void sent(const ibv_send_wr& wr, const std::string& payload) override;
  void posted(const ibv_recv_wr& wr) override;
  void came(const Frame& frame, char* at) override;

  PuppetPair& first_;
  bool connected_ = false;
};

}  // namespace sio::test
