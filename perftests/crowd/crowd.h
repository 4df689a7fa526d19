// SPDX-License-Identifier: BSD-2-Clause
//
// A crowd: many connections in one channel, from one process to another. The server's listens at
// ports of its own, and answers a question about these on the connection that asked for the crowd
// (a dialogue). How a crowd behaves is the same for libsio and bare verbs; a Crowd is one end of
// it:
//
//   std::vector<uint16_t> listen(const Address&)         at which ports; connections come in take()
//   void connect(const std::string& host, const std::vector<uint16_t>& ports, uint32_t count,
//                uint32_t at_once)                       until there are so many
//   uint32_t send(uint32_t member, const unsigned char* message, uint32_t length, uint32_t count)
//                                                        the message so often; how often there was
//                                                        room: if less, take() will say when there
//                                                        is
//   bool take(arrived, writable)                         arrived(const Arrived&), writable(member);
//                                                        whether there was anything
//   void sleep(int timeout_ms)                           until there may be something
//   void wake()                                          ends that, from another thread
//   uint32_t most_in_flight()                            messages that may be unconfirmed
//   Traffic traffic()                                    of all connections, at this end
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "parameters.h"

namespace sio_perf {

// The first byte of a message says what it wants: to be counted, so that after half of the messages
// that may be in flight their number is confirmed; or to be answered by one that is as long.
inline constexpr unsigned char kCount = 0;
inline constexpr unsigned char kEcho = 1;

struct Arrived {
  uint32_t member;
  uint32_t length;
  std::array<unsigned char, kConfirmBytes> head;  // its first bytes, as far as there are so many
};

struct Traffic {
  uint64_t messages = 0;
  uint64_t sends = 0;  // work requests that these took
  uint64_t keepalives = 0;
};

// So many messages are confirmed at once.
inline uint64_t confirmed_at_once(const Parameters& parameters) {
  return parameters.tx_depth > 1 ? parameters.tx_depth / 2 : 1;
}

// Of the connection of the dialogue: both ends sleep until they are told something.
inline Parameters dialogue_parameters(const Parameters& crowd) {
  Parameters parameters = crowd;
  parameters.event = true;
  parameters.size = 64;
  parameters.tx_depth = 4;
  return parameters;
}

}  // namespace sio_perf
