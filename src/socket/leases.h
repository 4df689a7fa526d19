// SPDX-License-Identifier: BSD-2-Clause
//
// Credits as leases on shared receives: who may have how many, so that a receive is posted for each
// credit that any peer has.
//
// A connection has `out` credits for data (its peer's, or on their way there) and `held` slots with
// what it has sent (filled, the program's, or not posted again). Besides it has kControlSlots.
//
// 1. The leases together never exceed the slots. A lease is out + held, but at least kLeast, and
//    the control slots; of a connection that has ended, held alone.
// 2. So what is not held is posted, and no less than all that is out.
// 3. Beyond kLeast a lease grows only while as much is free as it has (the dynamic threshold of
//    shared buffers), and the least lease of one more: n greedy connections get a share each and
//    leave one over. Who comes then finds what it needs, and one that has more than is free gets no
//    more before it has used what it has.
//    The exception: one whose peer has none left gets kLeast again while a newcomer's least
//    and more is free.
// 4. What others have and do not use is asked back when one that waits, or a newcomer, finds
//    nothing (shared_receives.h); what it refunds is free.
// 5. What a connection wants is twice what it has when its peer runs dry. It halves when the peer
//    has used that many, and never more than a quarter of them was gone.
#pragma once

#include <algorithm>
#include <cstdint>

#include "wire/hello.h"

namespace sio::internal {

class Leases {
 public:
  static constexpr uint32_t kLeast = wire::kMinSlots;
  static constexpr uint32_t kMost = 256;  // and half of all

  struct Lease {
    uint32_t out = 0;
    uint32_t held = 0;
    uint32_t wanted = kLeast;
    uint32_t calm = 0;  // arrived since the peer last had less than three quarters of `wanted`
    bool open = false;

    uint32_t used() const noexcept { return out + held; }
    uint32_t size() const noexcept {
      return open ? std::max(used(), kLeast) + wire::kControlSlots : held;
    }
  };

  explicit Leases(uint32_t slots) noexcept
      : slots_(slots), most_(std::clamp(slots / 2, kLeast, kMost)) {}

  uint32_t most() const noexcept { return most_; }
  uint32_t free() const noexcept { return slots_ - leased_; }
  bool has_room() const noexcept { return free() >= kLeast + wire::kControlSlots; }

  // A connection comes, with kLeast credits. False: there is no room for it (has_room()).
  bool open(Lease& lease) noexcept;
  // It has ended: its peer's credits are nobody's.
  void close(Lease& lease) noexcept;
  // What it still holds is counted there from now on.
  void leave_to(Lease& lease, Lease& heir) noexcept;

  // A frame with data used up a credit; there was one.
  void arrived(Lease& lease) noexcept;
  // A slot came back.
  void returned(Lease& lease) noexcept;

  // Its peer has given back `n` of its credits, which it had.
  void refunded(Lease& lease, uint32_t n) noexcept;

  // Credits that it may be given now. grant() gives them, `most` at most.
  uint32_t grantable(const Lease& lease) const noexcept;
  uint32_t grant(Lease& lease, uint32_t most = kMost) noexcept;
  // Its peer waits for more credits than it may be given, or soon will. (One may be of no use to
  // it, while one for control is owed to it.)
  bool starved(const Lease& lease) const noexcept {
    return lease.open && lease.out <= 1 && lease.used() < most_;
  }
  // How many more it would be given if they were free.
  uint32_t wish(const Lease& lease) const noexcept {
    const uint32_t used = lease.used();
    return std::min(std::max(lease.wanted, used + kLeast), std::max(most_, used)) - used;
  }

 private:
  template <typename Change>
  void change(Lease& lease, Change how) noexcept {
    leased_ -= lease.size();
    how();
    leased_ += lease.size();
  }

  const uint32_t slots_;
  const uint32_t most_;
  uint32_t leased_ = 0;
};

}  // namespace sio::internal
