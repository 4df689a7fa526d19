// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <infiniband/verbs.h>

namespace sio::internal::provider {

// The errno that a failed completion becomes: the one table of it. `receive`: of a receive, which
// fails by what the peer has sent.
int errno_of(ibv_wc_status status, bool receive) noexcept;

// Its name for the log.
const char* status_name(ibv_wc_status status) noexcept;

}  // namespace sio::internal::provider
