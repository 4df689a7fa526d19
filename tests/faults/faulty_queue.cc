// SPDX-License-Identifier: BSD-2-Clause
#include "faults/faulty_queue.h"

#include <array>
#include <utility>

namespace sio::test {

Spoilable* FaultyQueue::find(uint32_t number) noexcept {
  for (Spoilable* one : pairs_) {
    if (one->pair->number() == number) return one;
  }
  return nullptr;
}

void FaultyQueue::spoil(ibv_wc& wc) noexcept {
  Spoilable* pair = find(wc.qp_num);
  if (pair == nullptr || wc.status != IBV_WC_SUCCESS) return;
  Once& next = (wc.opcode & IBV_WC_RECV) != 0 ? plan().next_receive : plan().next_send;
  if (pair->spoilt) {
    wc.status = IBV_WC_WR_FLUSH_ERR;
  } else if (const int status = next.take()) {
    wc.status = static_cast<ibv_wc_status>(status);
    pair->spoilt = true;
    pair->pair->fail();
  } else if (plan().strikes(&Faults::status)) {
    constexpr std::array kStatuses = {
        IBV_WC_LOC_LEN_ERR,     IBV_WC_LOC_QP_OP_ERR,     IBV_WC_LOC_PROT_ERR,
        IBV_WC_WR_FLUSH_ERR,    IBV_WC_BAD_RESP_ERR,      IBV_WC_LOC_ACCESS_ERR,
        IBV_WC_REM_INV_REQ_ERR, IBV_WC_REM_ACCESS_ERR,    IBV_WC_REM_OP_ERR,
        IBV_WC_RETRY_EXC_ERR,   IBV_WC_RNR_RETRY_EXC_ERR, IBV_WC_REM_ABORT_ERR,
        IBV_WC_FATAL_ERR,       IBV_WC_RESP_TIMEOUT_ERR,  IBV_WC_GENERAL_ERR};
    wc.status = kStatuses[plan().below(kStatuses.size())];
    pair->spoilt = true;
    pair->pair->fail();
  }
}

// After what was posted before it.
void FaultyQueue::flush_lost(Spoilable& pair) {
  if (!pair.failed) return;
  for (const uint64_t id : std::exchange(pair.lost, {})) {
    ibv_wc wc{};
    wc.wr_id = id;
    wc.status = IBV_WC_WR_FLUSH_ERR;
    wc.qp_num = pair.pair->number();
    come_.push_back(wc);
  }
}

int FaultyQueue::poll(int n, ibv_wc* wc) noexcept {
  ibv_wc fresh[32];
  for (int more = 0; (more = inner_->poll(32, fresh)) > 0;)
    come_.insert(come_.end(), fresh, fresh + more);
  for (Spoilable* one : pairs_) flush_lost(*one);
  for (auto& [number, polls] : withheld_) polls -= polls > 0 ? 1 : 0;
  std::erase_if(withheld_, [](const auto& entry) { return entry.second == 0; });
  const bool second_look = std::exchange(armed_, false);
  if (!second_look && !come_.empty() && plan().strikes(&Faults::late)) {
    withheld_.emplace(come_[plan().below(static_cast<uint32_t>(come_.size()))].qp_num,
                      1 + plan().below(20));
  }
  int taken = 0;
  for (auto it = come_.begin(); it != come_.end() && taken < n;) {
    if (withheld_.contains(it->qp_num)) {
      ++it;
      continue;
    }
    wc[taken] = *it;
    spoil(wc[taken++]);
    it = come_.erase(it);
  }
  return taken;
}

}  // namespace sio::test
