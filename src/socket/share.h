// SPDX-License-Identifier: BSD-2-Clause
#pragma once

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
  int post_returned(bool force, uint32_t& data_credits,
                    uint32_t& control_credits) noexcept override;
  bool has_returned(bool force) noexcept override;
  uint32_t held() const noexcept override { return Lease::held; }

  // A receive of its queue pair has completed.
  void complete(wire::Work kind, uint32_t index, const ibv_wc& wc) noexcept;
  CompletionHandler& socket() const noexcept { return socket_; }

 private:
  bool take_credit(uint32_t slot, const ibv_wc& wc) noexcept;

  const std::shared_ptr<SharedReceives> of_;
  CompletionHandler& socket_;
  uint32_t frames_ = 0;   // that have come
  uint32_t control_ = 0;  // slots that were given back, to be credited
};

}  // namespace sio::internal
