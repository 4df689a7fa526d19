// SPDX-License-Identifier: BSD-2-Clause
//
// What commands of sio_perf's have in common.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "options.h"

namespace sio_perf {

void add_common(CLI::App& app, Options& options);
void add_provider(CLI::App& app, const PeerName& of, Options& options);
void add_json(CLI::App& app, Options& options);
std::string with_prefix(const PeerName& of, const char* name);

// The measurements of many connections: crowd/options.cc.
bool has_crowds(const PeerName& of);
void add_crowd_clients(CLI::App& parent, const PeerName& of, Options& options);

}  // namespace sio_perf
