// SPDX-License-Identifier: BSD-2-Clause
//
// What some devices get wrong.
#pragma once

#include <cstdint>

namespace sio::internal::provider::verbs {

// Whether a completion queue can be made larger. `vendor`: as ibv_query_device says; `release`: of
// the kernel, as uname does. Soft-RoCE of Linux 5.16 to 6.0, and of some 5.15, never comes back if
// anything is in the queue ("RDMA/rxe: Fix resize_finish() in rxe_queue.c" mended it).
bool can_resize_queues(uint32_t vendor, const char* release) noexcept;

}  // namespace sio::internal::provider::verbs
