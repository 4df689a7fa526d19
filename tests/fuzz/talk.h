// SPDX-License-Identifier: BSD-2-Clause
//
// What is said on one connection, as the program and its ledger know it.
#pragma once

#include <arpa/inet.h>

#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <string>

namespace sio::test {

// A message of the peer's, where the device places it.
struct Incoming {
  const char* at;     // NULL: it was announced, and has no place yet
  std::string bytes;  // as many as have come
  size_t length;      // in all

  bool is_whole() const { return bytes.size() == length; }
};

struct Talk {
  bool stream = false;               // bytes, however they were portioned
  std::deque<std::string> outgoing;  // accepted by sio_send, not seen on the wire yet
  uint64_t left = 0;                 // how many were
  bool offered = false;              // the last one: sio_send may yet say no
  // The program may get these, in this order. Of a stream: what is in one slot, and how much of the
  // first it has got.
  std::deque<std::shared_ptr<Incoming>> incoming;
  size_t taken = 0;

  // Of the last of `outgoing`; it has left when more have.
  uint64_t last() const { return left + outgoing.size() - 1; }
  void leave() {
    outgoing.pop_front();
    ++left;
  }
};

inline uint32_t number_at(const char* at) {
  uint32_t number;
  std::memcpy(&number, at, sizeof number);
  return ntohl(number);
}

}  // namespace sio::test
