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

// What is measured of many connections.
enum class CrowdTest : uint8_t { kConnections, kThreads, kFair };
const char* name_of(CrowdTest test);  // its command

struct CrowdOptions {
  CrowdTest test = CrowdTest::kConnections;
  uint32_t connections = 100;         // of a channel
  uint32_t channels = 1;              // each with a thread
  std::vector<uint32_t> turns = {1};  // messages of a connection before the next has its turn
  uint32_t at_once = 64;              // connects under way
  bool shared = false;
  bool like_sockets = false;  // bare verbs
  uint32_t recv_slots = 0;    // of a connection; 0: as the peer does by default
  uint32_t slot_size = 4096;
  double idle = 10;  // seconds
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
  bool block = false;
  std::vector<uint32_t> sizes;
  uint64_t iterations = 0;  // 0: for `seconds`
  double seconds = 0;
  uint64_t warmup = 0;
  uint32_t interval_us = 0;  // between round trips
  bool no_delay = false;
  uint32_t tx_depth = 64;
  uint32_t post_list = 1;  // work requests per call, raw only
  uint32_t slot_size = 0;  // bytes of a receive, raw only; 0: of a message
  std::string json;
  CrowdOptions crowd;

  Parameters parameters(uint32_t size) const {
    Parameters all;
    all.op = op;
    all.event = event;
    all.block = block;
    all.size = size;
    all.tx_depth = tx_depth;
    all.iterations = iterations;
    all.warmup = warmup;
    all.no_delay = no_delay;
    all.slot_size = slot_size;
    return all;
  }
  Parameters crowd_parameters() const;
};

// Without options: the process's exit status, after help or what is wrong was printed.
struct Parsed {
  std::optional<Options> options;
  int status = 0;
};
Parsed parse_options(int argc, char** argv);

}  // namespace sio_perf
