// SPDX-License-Identifier: BSD-2-Clause
//
// Starts behaviours on the peer's machine for whoever connects. One TCP connection is one
// process; when the connection ends the process is killed. Lines:
//
//   to the agent    env NAME=VALUE   before run
//                   run BEHAVIOUR key=value...
//                   in TEXT          a line for its stdin
//                   eof              closes its stdin
//                   signal NUMBER
//                   stop             as SIGSTOP; answered when all its threads stand still
//   from the agent  out TEXT         a line of its stdout
//                   stopped          or it has ended meanwhile
//                   exit STATUS      as waitpid(2); the last line
#pragma once

#include <cstdint>

#include "conformance/support.h"

namespace sio::test {

inline constexpr uint16_t kAgentPort = 7471;
inline constexpr int kMostSessions = 256;

// Listens for ever; says "agent PORT". Never returns but by an error that is thrown.
[[noreturn]] void run_agent(const Address& address);

}  // namespace sio::test
