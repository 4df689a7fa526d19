// SPDX-License-Identifier: BSD-2-Clause
#include "socket/leases.h"

namespace sio::internal {

bool Leases::open(Lease& lease) noexcept {
  if (!has_room()) return false;
  change(lease, [&] {
    lease.open = true;
    lease.out = kLeast;
  });
  return true;
}

void Leases::close(Lease& lease) noexcept {
  change(lease, [&] {
    lease.open = false;
    lease.out = 0;
  });
}

void Leases::leave_to(Lease& lease, Lease& heir) noexcept {
  heir.held += lease.held;
  lease.held = 0;
}

void Leases::arrived(Lease& lease) noexcept {
  --lease.out;
  ++lease.held;
  if (lease.out * 4 < lease.wanted) {
    lease.wanted = std::max(lease.wanted, std::min(lease.used() * 2, most_));
    lease.calm = 0;
  } else if (lease.out * 4 < lease.wanted * 3) {
    lease.calm = 0;
  } else if (++lease.calm >= lease.wanted) {
    lease.wanted = std::max(lease.wanted / 2, kLeast);
    lease.calm = 0;
  }
}

void Leases::returned(Lease& lease) noexcept {
  change(lease, [&] { --lease.held; });
}

// It did without them; who gives back none does not.
void Leases::refunded(Lease& lease, uint32_t n) noexcept {
  if (n == 0) return;
  change(lease, [&] { lease.out -= n; });
  lease.wanted = std::max(lease.used(), kLeast);
  lease.calm = 0;
}

// The least is set apart for it already; what is beyond comes from what is free but for the least
// lease of a newcomer. Whose peer has run dry gets the least anew, however much it holds: what
// others have and do not use must not stop it while anything is free.
uint32_t Leases::grantable(const Lease& lease) const noexcept {
  if (!lease.open) return 0;
  const uint32_t used = lease.used();
  const uint32_t base = std::max(used, kLeast);
  const uint32_t reach = base + kLeast + wire::kControlSlots;
  uint32_t more = 0;
  if (lease.wanted > base && free() > reach) {
    more = std::min(lease.wanted - base, (free() - reach + 1) / 2);
  }
  const uint32_t newcomer = kLeast + wire::kControlSlots;
  if (lease.out + (base - used) + more < kLeast && used < most_ && free() > newcomer) {
    more = std::min(kLeast - lease.out, free() - newcomer);
  }
  return base - used + more;
}

uint32_t Leases::grant(Lease& lease, uint32_t most) noexcept {
  const uint32_t credits = std::min(grantable(lease), most);
  if (credits > 0) change(lease, [&] { lease.out += credits; });
  return credits;
}

}  // namespace sio::internal
