// SPDX-License-Identifier: BSD-2-Clause
#include "socket/share.h"

#include <algorithm>
#include <utility>

#include "wire/frame.h"

namespace sio::internal {
namespace {

bool carries_data(const ibv_wc& wc) noexcept {
  wire::Immediate imm;
  return wc.opcode == IBV_WC_RECV && (wc.wc_flags & IBV_WC_WITH_IMM) != 0 &&
         wire::decode_immediate(wc.imm_data, imm) &&
         (imm.kind == wire::Kind::kMessage || imm.kind == wire::Kind::kTrain);
}

}  // namespace

// What the program still holds of this connection's is the next ones' loss until it comes back.
SharedReceives::Share::~Share() {
  end();
  Lease* const self = this;
  std::replace(of_->holders_.begin(), of_->holders_.end(), self, &of_->gone_);
  of_->leases_.leave_to(*this, of_->gone_);
  note(&of_->channel_);  // and what the program did not take goes back
}

int SharedReceives::Share::begin() noexcept {
  try {
    of_->members_[link_.queue_pair->number()] = this;
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
  return 0;
}

void SharedReceives::Share::end() noexcept {
  if (!open) return;
  std::erase_if(of_->members_, [this](const auto& one) { return one.second == this; });
  of_->leases_.close(*this);
  if (of_->members_.empty()) of_->close();
  if (is_linked()) of_->waiting_.erase(of_->waiting_.iterator_to(*this));
  note(&of_->channel_);  // others may have what was its
}

void SharedReceives::Share::give_back(uint32_t slot) noexcept {
  of_->give_back(slot);
  ++control_;
}

// The peer used one of the credits that it was given, those in frames that it may not have seen
// included; and for data one of those for data. Else it had none.
bool SharedReceives::Share::take_credit(uint32_t slot, const ibv_wc& wc) noexcept {
  const bool data = carries_data(wc);
  if (unused() == 0 || (data && out == 0)) return false;
  ++frames_;
  if (!data) return true;
  ++arrived_;
  of_->leases_.arrived(*this);
  of_->holders_[slot] = this;
  if (of_->leases_.starved(*this)) of_->attend(*this);
  return true;
}

void SharedReceives::Share::complete(wire::Work kind, uint32_t index, const ibv_wc& wc) noexcept {
  ibv_wc told = wc;
  if (wc.status != IBV_WC_SUCCESS) {
    of_->give_back(index);
  } else if (!take_credit(index, wc)) {
    told.wc_flags = 0;  // what comes without a credit is no frame
  }
  ++posted_;  // it counts as the connection's own for as long as it is being told of
  socket_.complete(kind, index, told);
}

bool SharedReceives::Share::has_returned(bool) noexcept {
  return control_ > 0 || region_.returned() > 0 || !of_->unposted_.empty() || recall_due_ ||
         of_->leases_.grantable(*this) > 0;
}

int SharedReceives::Share::post_returned(bool, Due& due) noexcept {
  if (const int error = of_->repost()) return error;
  due.control = std::exchange(control_, 0);
  due.recall = std::exchange(recall_due_, false);
  // Without memory for more what there is must do. It is enough for a peer that has run dry when
  // all slots have come back, and if they have not the next one that does brings us here again.
  filled_.reserve(used() + of_->leases_.grantable(*this));
  const uint32_t room = filled_.capacity() - std::min(filled_.capacity(), used());
  due.data = of_->leases_.grant(*this, room);
  if (due.data > 0 && out > Leases::kLeast) of_->nobody_gives_ = false;
  // Where there is no memory to note more, another look would find the same.
  const bool lacks_room = due.data == 0 && of_->leases_.grantable(*this) > 0;
  if (!lacks_room && of_->leases_.starved(*this)) of_->attend(*this);
  of_->serve();
  return 0;
}

// Those that the peer was told of, and was not seen to use, it may have. So as many fewer frames
// may come.
bool SharedReceives::Share::refunded(uint32_t n) noexcept {
  if (!std::exchange(link_.recalled, false) || n > std::min(link_.peer_credits, unused())) {
    return false;
  }
  link_.peer_credits -= n;
  link_.credits_given -= n;
  asked_ = false;
  of_->leases_.refunded(*this, n);
  of_->recall_pause_ = kRecallEvery;
  of_->nobody_gives_ = false;
  note(&of_->channel_);  // for those that wait
  return true;
}

}  // namespace sio::internal
