// SPDX-License-Identifier: BSD-2-Clause
//
// The command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "parameters.h"

namespace sio_perf {

// What is measured: the library, or what it is compared with.
enum class Peer : uint8_t { kSio, kRaw, kTcp, kZmq };

struct PeerName {
  Peer peer;
  const char* prefix;  // of its commands
  const char* name;    // in JSON
  const char* title;
};
inline constexpr PeerName kPeers[] = {
    {Peer::kSio, "", "sio", "libsio"},
    {Peer::kRaw, "raw-", "raw", "bare verbs"},
    {Peer::kTcp, "tcp-", "tcp", "TCP sockets"},
#ifdef SIO_PERF_ZMQ
    {Peer::kZmq, "zmq-", "zmq", "ZeroMQ over TCP"},
#endif
};

struct Options {
  bool server = false;
  const PeerName* of = &kPeers[0];
  std::string provider;  // the library's; empty: as its settings say
  uint16_t port = 18515;
  int cpu = -1;  // to stay on; -1: any
  bool quiet = false;

  // Server.
  std::string bind = "0.0.0.0";
  bool once = false;

  // Client.
  std::string host;
  Op op = Op::kLatency;
  bool event = false;
  std::vector<uint32_t> sizes;
  uint64_t iterations = 0;  // 0: for `seconds`
  double seconds = 0;
  uint64_t warmup = 0;
  uint32_t tx_depth = 64;
  uint32_t post_list = 1;  // work requests per call, raw only
  std::string json;

  Parameters parameters(uint32_t size) const {
    return {op, event, size, tx_depth, iterations, warmup};
  }
};

// Without options: the process's exit status, after help or what is wrong was printed.
struct Parsed {
  std::optional<Options> options;
  int status = 0;
};
Parsed parse_options(int argc, char** argv);

}  // namespace sio_perf
