// SPDX-License-Identifier: BSD-2-Clause
//
// From the input to the peer.
#pragma once

#include <sio/sio.hpp>

#include <deque>
#include <string>
#include <vector>

#include "cat/memory.h"
#include "cat/options.h"
#include "cat/proof.h"
#include "cat/readiness.h"

namespace sio_cat {

// The input is read into blocks of an area, which are lent to the library as they are, and come
// back when the peer has acknowledged them. While all are on their way nothing is read: that is
// what bounds the memory.
class Sender {
 public:
  Sender(const Options& options, const Memory& memory, const sio::Channel& channel,
         const sio::Socket& socket);

  // Reads and sends one message; false: nothing can be done before an event.
  bool advance();
  void on_sent(const event_data_t& event);
  // The block alone, when the connection is over.
  void take_back(const event_data_t& event);
  void on_writable() { blocked_ = false; }

  // As if the input had ended.
  void end_input();
  // With --checksum: what we think of what has come.
  void send_verdict(bool right);
  // No more is sent. After all that was to be.
  void shut_down();

  bool input_ended() const { return input_ended_; }
  size_t in_flight() const { return in_flight_; }
  // The peer has all that was to be sent.
  bool all_acknowledged() const;
  uint64_t acknowledged() const { return acknowledged_; }
  Proof proof() const { return checksum_.proof(); }
  bool is_shut_down() const { return is_shut_down_; }

 private:
  bool fill();
  bool read_input();
  void finish_input();
  bool send();

  const Options& options_;
  const sio::Socket& socket_;
  Readiness input_;
  std::vector<sio::Buffer> free_;
  sio::Buffer filled_;  // the next message, of `length_` bytes of it
  size_t length_ = 0;
  size_t most_;                    // bytes of a message, of data
  size_t in_flight_ = 0;           // messages
  std::deque<std::string> words_;  // with --checksum: messages that are not the input's
  Checksum checksum_;
  uint64_t acknowledged_ = 0;  // bytes of data
  bool blocked_ = false;       // by back-pressure, until EC_WRITABLE
  bool input_ended_ = false;
  bool is_shut_down_ = false;
};

}  // namespace sio_cat
