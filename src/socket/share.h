// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <algorithm>
#include <utility>

#include "socket/shared_receives.h"

namespace sio::internal {

// What one connection has of shared receives.
class SharedReceives::Share final : public Receives, public Leases::Lease, public Waiting {
 public:
  Share(SharedReceives& of, Link& link, CompletionHandler& socket)
      : Receives(link, *of.region_, {Leases::kLeast, of.leases_.most()}),
        of_(of.shared_from_this()),
        socket_(socket) {}
  ~Share() override;

  int begin() noexcept override;
  void end() noexcept override;
  void give_back(uint32_t slot) noexcept override;
  void discard(uint32_t slot) noexcept override { of_->give_back(slot); }
  void dropped() noexcept override { note(&of_->channel_); }
  int post_returned(bool force, Due& due) noexcept override;
  bool has_returned(bool force) noexcept override;
  bool refunded(uint32_t n) noexcept override;
  uint32_t held() const noexcept override { return Lease::held; }

  // A receive of its queue pair has completed.
  void complete(wire::Work kind, uint32_t index, const ibv_wc& wc) noexcept;
  CompletionHandler& socket() const noexcept { return socket_; }

  // Credits that it may be asked to give back: what it does not need for its next message (what it
  // was not told of yet goes with the question).
  uint32_t dispensable() const noexcept {
    return open && link_.may_recall && !asked_ ? out - std::min(out, Leases::kLeast) : 0;
  }
  // No message has come since the last call.
  bool was_idle() noexcept { return std::exchange(arrived_then_, arrived_) == arrived_; }
  // Asks, with the next frame, whenever that can leave.
  void recall() noexcept { asked_ = recall_due_ = true; }
  bool recall_due() const noexcept { return recall_due_; }

 private:
  // Told to the peer, of both kinds, and not used by it.
  uint32_t unused() const noexcept {
    return credits_.first + wire::kControlSlots + link_.credits_given - frames_;
  }
  bool take_credit(uint32_t slot, const ibv_wc& wc) noexcept;

  const std::shared_ptr<SharedReceives> of_;
  CompletionHandler& socket_;
  uint32_t frames_ = 0;        // that have come
  uint32_t arrived_ = 0;       // of them, with data
  uint32_t arrived_then_ = 0;  // as was_idle() found it
  uint32_t control_ = 0;       // slots that were given back, to be credited
  bool asked_ = false;         // or about to be, and has not answered
  bool recall_due_ = false;
};

}  // namespace sio::internal
