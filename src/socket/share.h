// SPDX-License-Identifier: BSD-2-Clause
#pragma once

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

  // The peer has more than it needs for its next message (what it was not told of yet goes with the
  // question), and was not asked to give that back yet.
  bool is_rich() const noexcept { return open && !recalled_ && out > Leases::kLeast; }
  // Nothing has come since the last call.
  bool was_idle() noexcept { return std::exchange(frames_then_, frames_) == frames_; }
  // Asks, with the next frame.
  void recall() noexcept { recalled_ = recall_due_ = true; }
  bool recall_due() const noexcept { return recall_due_; }

 private:
  // Told to the peer, of both kinds, and not used by it.
  uint32_t unused() const noexcept {
    return credits_.first + wire::kControlSlots + link_.credits_given - frames_;
  }
  bool take_credit(uint32_t slot, const ibv_wc& wc) noexcept;

  const std::shared_ptr<SharedReceives> of_;
  CompletionHandler& socket_;
  uint32_t frames_ = 0;       // that have come
  uint32_t frames_then_ = 0;  // as was_idle() found them
  uint32_t control_ = 0;      // slots that were given back, to be credited
  bool recall_due_ = false;   // it is to be asked
  bool recalled_ = false;     // it was, or will be, and has not answered
};

}  // namespace sio::internal
