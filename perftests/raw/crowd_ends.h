// SPDX-License-Identifier: BSD-2-Clause
//
// The server for crowds (crowd/crowd.h) on bare verbs, on a connection whose client asks for one.
#pragma once

#include "raw/connection.h"

namespace sio_perf {

void serve_raw_crowd(const Options& options, const Parameters& parameters,
                     RawConnection& connection);

}  // namespace sio_perf
