// SPDX-License-Identifier: BSD-2-Clause
//
// From the peer to the output.
#pragma once

#include <sio/sio.hpp>

#include <cstdint>
#include <deque>
#include <optional>
#include <span>

#include "cat/options.h"
#include "cat/proof.h"
#include "cat/readiness.h"

namespace sio_cat {

// Messages are written from where the device has placed them. Those that wait are in receive
// memory, so that the peer waits when the output does.
class Receiver {
 public:
  Receiver(const Options& options, const sio::Channel& channel);

  // Writes some of a message; false: nothing can be done before an event.
  bool advance();
  void on_message(const event_data_t& event) { messages_.push_back(sio::buffer_of(event)); }
  void on_end() { ended_ = true; }

  // Whoever reads the output sees that the peer's data have ended. Throws what a file system has
  // put off.
  void close_output();

  // The peer's data have ended, and are written.
  bool all_written() const;
  uint64_t written() const { return written_; }
  // The peer sends no more.
  bool ended() const { return ended_ && messages_.empty(); }
  // Throws if more was to come when it ended.
  void check_end() const;

  // With --checksum:
  bool has_hello() const { return has_hello_; }
  Proof proof() const { return checksum_.proof(); }                      // of what has come
  const std::optional<Proof>& sent() const { return sent_; }             // what the peer says of it
  const std::optional<bool>& peers_verdict() const { return verdict_; }  // of what we have sent

 private:
  void open_message();
  std::span<const std::byte> read_kind(std::span<const std::byte> message);
  void check_first(std::span<const std::byte> message) const;
  bool write_some();

  const Options& options_;
  std::optional<Readiness> output_;  // none: it is closed
  bool at_once_;  // the output takes any number of bytes without waiting, as files do
  std::deque<sio::Buffer> messages_;
  bool is_open_ = false;  // of the first one `rest_` is to be written
  std::span<const std::byte> rest_;
  Checksum checksum_;
  uint64_t written_ = 0;
  bool first_ = true;
  bool has_hello_ = false;
  std::optional<Proof> sent_;
  std::optional<bool> verdict_;
  bool ended_ = false;
};

}  // namespace sio_cat
