// SPDX-License-Identifier: BSD-2-Clause
//
// What the calls of <sio/aio.h> do once their arguments were checked. 0 or -errno; throws.
#pragma once

#include <sio/aio.h>

#include <span>

#include "aio/operation.h"
#include "base/clock.h"

namespace sio::internal {

class Channel;

int queue_request(aio_cb& block, const Operation& what);

// Of a request that was queued. Looks whether it has ended.
void look_at_request(const aio_cb& block);
int cancel_request(const aio_cb& block);
// Asks once more, after a while, if it is still under way. The caller holds its queue's lock, which
// is that of `channel`, or of the queue without one.
void cancel_later(uint64_t handle, Channel* channel) noexcept;

// Waits until one has ended; NULLs are passed over, the others were queued.
int suspend_until_one_ends(std::span<const aio_cb* const> list, TimePoint deadline);

}  // namespace sio::internal
