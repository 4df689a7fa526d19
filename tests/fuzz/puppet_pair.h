// SPDX-License-Identifier: BSD-2-Clause
//
// The two queue pairs of a connection; what goes over them is held against its ledger.
#pragma once

#include <memory>

#include "ledger.h"
#include "puppet_work.h"

namespace sio::test {

class PuppetLane;

// Receives that several of them take from.
class PuppetShared final : public internal::provider::SharedReceiveQueue {
 public:
  explicit PuppetShared(uint32_t capacity);
  ~PuppetShared() override;
  uint32_t capacity() const noexcept override { return capacity_; }
  int post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept override;

  PuppetReceives receives;
  // A peer has taken one that it had no credit for.
  void cheated() { cheated_ = true; }
  // One is posted for each credit that a peer has.
  void check() const;

 private:
  const uint32_t capacity_;
  bool cheated_ = false;
};

class PuppetPair final : public PuppetPairOf<internal::provider::QueuePair> {
 public:
  PuppetPair(PuppetQueue& queue, const internal::provider::QueueSizes& sizes,
             std::shared_ptr<Talk> talk, PuppetShared* shared);
  ~PuppetPair() override;

  Ledger& ledger() { return ledger_; }
  // Its receives are there; NULL: it has its own.
  PuppetShared* shared() const { return shared_; }
  // Whether the peer has a credit for a frame. With receives of our own that is its own business.
  bool has_credit(uint32_t imm_data) const;
  // A refund that nobody has asked for: whether the library takes it depends on what it asks until
  // it sees it.
  bool may_be_asked_yet(uint32_t imm_data) const;
  // There is something that our end has accepted, could send, and does not.
  bool is_held_back() const;
  PuppetLane* lane = nullptr;

 private:
  void sent(const ibv_send_wr& wr, const std::string& payload) override;
  void came(const Frame& frame, char* at) override;
  void came_up(const ibv_wc& wc) override;

  Ledger ledger_;
  PuppetShared* const shared_;
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
