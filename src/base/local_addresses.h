// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <vector>

#include "base/inet_address.h"

namespace sio::internal {

// Which of this host's addresses packets to `peer` would leave from; not set: none.
InetAddress source_towards(const InetAddress& peer) noexcept;

// Those of the interfaces that are up, loopback's last.
std::vector<InetAddress> local_addresses(int family);

// The interface with this index has that address.
bool interface_has(unsigned index, const InetAddress& address);

}  // namespace sio::internal
