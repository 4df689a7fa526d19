// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "base/stable_pool.h"

namespace sio::internal {

class Socket;

// Where sockets come from and go back to when they are done.
StablePool<Socket>& socket_pool();

}  // namespace sio::internal
