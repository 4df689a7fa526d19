// SPDX-License-Identifier: BSD-2-Clause
//
// Tells a forked child from its parent: the child must touch nothing of the parent's (queue
// pairs, registrations, epoll sets), so every call of the interface asks here first.
#pragma once

namespace sio::internal {

// True in a process that was forked from one that had called this before.
bool in_forked_child() noexcept;

}  // namespace sio::internal
