// SPDX-License-Identifier: BSD-2-Clause
//
// What a client tells the server before it measures, so that a server needs no options.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace sio_perf {

// Those of a crowd, which is many connections beside the one that says so, begin with that.
enum class Op : uint8_t { kLatency = 1, kBandwidth = 2, kRate = 3, kCrowd = 4 };

struct Parameters {
  Op op = Op::kLatency;
  bool event = false;       // both ends sleep for events instead of polling
  bool block = false;       // and bare verbs in ibv_get_cq_event, which only completions end
  uint32_t size = 64;       // bytes of a message
  uint32_t tx_depth = 64;   // messages in flight, when these go one way
  uint64_t iterations = 0;  // 0: until the client has had enough
  uint64_t warmup = 0;
  bool no_delay = false;   // libsio: SIO_NODELAY at both ends
  uint32_t slot_size = 0;  // of a receive; 0: as large as a message needs (not of a crowd)

  // Of a crowd.
  uint32_t connections = 1;   // of a channel
  uint32_t channels = 1;      // each with a thread of its own
  uint32_t recv_slots = 64;   // of a connection
  bool shared = false;        // the receives of a channel's connections are in common
  bool like_sockets = false;  // bare verbs: with what a socket of libsio's has to have
};

// Fits the private data of an RDMA connection request (56 bytes).
inline constexpr size_t kParameterBytes = 48;
using EncodedParameters = std::array<unsigned char, kParameterBytes>;

inline constexpr uint32_t kMaxSize = 1 << 20;
inline constexpr uint32_t kMaxDepth = 4096;
inline constexpr uint32_t kMaxConnections = 8192;
inline constexpr uint32_t kMaxChannels = 8;

EncodedParameters encode(const Parameters& parameters);

// Throws Failure if that is no parameters, or of another version, or makes no sense.
// `most`: the last operation that the server knows.
Parameters decode(std::span<const unsigned char> bytes, Op most = Op::kRate);

// "lat", "bw", "rate" or "crowd"; with "-event".
std::string name_of(const Parameters& parameters);

// One way, the first byte of a message says whether it is the last before the receiver confirms
// how many it has: 8 bytes. The baseline's credits are 4 bytes.
inline constexpr unsigned char kMore = 0;
inline constexpr unsigned char kLast = 1;
inline constexpr size_t kConfirmBytes = 8;
inline constexpr size_t kCreditBytes = 4;

// Big-endian numbers of any length.
void put_number(unsigned char* to, size_t bytes, uint64_t value);
uint64_t get_number(const unsigned char* from, size_t bytes);

}  // namespace sio_perf
