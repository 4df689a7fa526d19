// SPDX-License-Identifier: BSD-2-Clause
//
// The library's server for crowds (crowd/crowd.h), on a connection whose client has asked for one.
#pragma once

#include "libsio/endpoint.h"

namespace sio_perf {

void serve_sio_crowd(const Options& options, const Parameters& parameters, SioEndpoint& end);

}  // namespace sio_perf
