// SPDX-License-Identifier: BSD-2-Clause
#include "puppet_pair.h"

#include <algorithm>

#include "must.h"
#include "puppet_provider.h"

namespace sio::test {

namespace {

// Of the keepalive, and the mark of the end.
bool is_probe(const ibv_send_wr& wr) {
  if (wr.opcode != IBV_WR_RDMA_WRITE) return false;
  MUST(wr.num_sge == 0 && wr.wr.rdma.rkey == 0 && (wr.send_flags & IBV_SEND_SIGNALED) != 0);
  return true;
}

}  // namespace

PuppetShared::PuppetShared(uint32_t capacity) : receives(capacity), capacity_(capacity) {
  ++puppet().queues;
}

PuppetShared::~PuppetShared() {
  for (const PuppetPair* pair : puppet().pairs) MUST(pair->shared() != this);
  --puppet().queues;
}

int PuppetShared::post_recv(ibv_recv_wr* chain, ibv_recv_wr**) noexcept {
  for (const ibv_recv_wr* wr = chain; wr != nullptr; wr = wr->next) receives.post(*wr);
  check();
  return 0;
}

void PuppetShared::check() const {
  int64_t credits = 0;
  for (PuppetPair* pair : puppet().pairs) {
    if (pair->shared() == this && !pair->failed())
      credits += std::max<int64_t>(pair->ledger().peer_credits(), 0);
  }
  MUST(cheated_ || credits <= static_cast<int64_t>(receives.size()));
}

PuppetPair::PuppetPair(PuppetQueue& queue, const internal::provider::QueueSizes& sizes,
                       std::shared_ptr<Talk> talk, PuppetShared* shared)
    : PuppetPairOf(queue, sizes, shared != nullptr ? &shared->receives : nullptr),
      ledger_(std::move(talk)),
      shared_(shared) {
  puppet().pairs.push_back(this);
}

PuppetPair::~PuppetPair() {
  MUST(lane == nullptr);  // goes first
  std::erase(puppet().pairs, this);
  for (PuppetEndpoint* endpoint : puppet().endpoints) {
    if (endpoint->pair == this) endpoint->pair = nullptr;
  }
}

void PuppetPair::sent(const ibv_send_wr& wr, const std::string& payload) {
  if (is_probe(wr)) return;
  MUST(wr.opcode == IBV_WR_SEND_WITH_IMM && (wr.send_flags & IBV_SEND_SOLICITED) != 0);
  ledger_.sent(wr.imm_data, payload, lane != nullptr ? lane->number() : 0);
  if (shared_ != nullptr) return shared_->check();
  MUST(ledger_.peer_credits() <= static_cast<int64_t>(receives()));
}

bool PuppetPair::has_credit(uint32_t imm_data) const {
  const uint32_t kind = ntohl(imm_data) >> 28;
  const bool data = kind == 1 || kind == 2;
  return data ? ledger_.peer_may_send() : shared_ == nullptr || ledger_.peer_credits() > 0;
}

bool PuppetPair::may_be_asked_yet(uint32_t imm_data) const {
  return ntohl(imm_data) >> 28 == 7 && shared_ != nullptr && !ledger_.we_recall();
}

bool PuppetPair::is_held_back() const {
  const bool stands = std::any_of(
      puppet().endpoints.begin(), puppet().endpoints.end(), [this](const PuppetEndpoint* one) {
        return one->pair == this && one->state == PuppetEndpoint::State::kStanding;
      });
  return stands && !failed() && sends_under_way() < puppet().quota && ledger_.should_send();
}

void PuppetPair::came(const Frame& frame, char* at) {
  if (shared_ != nullptr && !has_credit(frame.imm_data)) shared_->cheated();
  const bool send = frame.opcode == IBV_WC_RECV && (frame.flags & IBV_WC_WITH_IMM) != 0;
  ledger_.came(send, frame.imm_data, at, static_cast<uint32_t>(frame.payload.size()));
}

void PuppetPair::came_up(const ibv_wc& wc) {
  if (wc.opcode == IBV_WC_RECV && (wc.wc_flags & IBV_WC_WITH_IMM) != 0) {
    ledger_.came_up(wc.imm_data);
  }
}

// ----------------------------------------------------------------------------------- the bulk lane

PuppetLane::PuppetLane(PuppetQueue& queue, const internal::provider::QueueSizes& sizes,
                       PuppetPair& first)
    : PuppetPairOf(queue, sizes, nullptr), first_(first) {
  MUST(first_.lane == nullptr);
  first_.lane = this;
}

PuppetLane::~PuppetLane() { first_.lane = nullptr; }

int PuppetLane::connect(uint32_t peer_number, uint32_t peer_sequence) noexcept {
  MUST(!connected_ && peer_number <= 0xffffff && peer_sequence <= 0xffffff);
  if (puppet().lane_is_cut) return -EINVAL;
  connected_ = true;
  return 0;
}

void PuppetLane::sent(const ibv_send_wr& wr, const std::string& payload) {
  MUST(connected_);
  if (is_probe(wr)) return;
  MUST(wr.opcode == IBV_WR_SEND && (wr.send_flags & IBV_SEND_INLINE) == 0);
  const bool last = first_.ledger().bulk().sent(payload);
  MUST(!last || (wr.send_flags & IBV_SEND_SIGNALED) != 0);
}

void PuppetLane::posted(const ibv_recv_wr& wr) {
  MUST(connected_);
  const ibv_sge& sge = wr.sg_list[0];
  first_.ledger().bulk().posted(reinterpret_cast<const char*>(sge.addr), sge.length);
}

void PuppetLane::came(const Frame& frame, char* at) {
  const bool plain = frame.opcode == IBV_WC_RECV && (frame.flags & IBV_WC_WITH_IMM) == 0;
  first_.ledger().bulk().came(plain, at, frame.payload.size());
}

}  // namespace sio::test
