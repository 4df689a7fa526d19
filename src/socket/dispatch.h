// SPDX-License-Identifier: BSD-2-Clause
//
// From the connection manager's events to sockets. Endpoints are known by their serial numbers,
// so that an event that comes late finds nobody instead of somebody else.
#pragma once

#include <cstdint>

namespace sio::internal {

class Socket;

// Starts the provider, the control thread and the dispatch of events. Cheap when done before.
// Throws ENODEV and the like.
void start_dispatch();

// Whose an endpoint is. When it changes hands the later word holds.
void dispatch_to(uint64_t endpoint, Socket* socket);
void dispatch_to_nobody(uint64_t endpoint) noexcept;

}  // namespace sio::internal
