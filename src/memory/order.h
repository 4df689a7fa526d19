// SPDX-License-Identifier: BSD-2-Clause
//
// The memory orders that areas and regions use; each file says why they are enough there.
#pragma once

#include <atomic>

namespace sio::internal {

inline constexpr auto kRelaxed = std::memory_order_relaxed;

// Of the words by which messages, blocks and references change hands. Release: what this thread did
// with the bytes comes before the next owner's doings. Acquire: as the next owner, it sees that.
inline constexpr auto kSwap = std::memory_order_acq_rel;

}  // namespace sio::internal
