// SPDX-License-Identifier: BSD-2-Clause
//
// One connection, from its beginning to its end: both directions in one thread, on one channel.
#pragma once

#include <sio/sio.hpp>

#include "cat/failure.h"
#include "cat/memory.h"
#include "cat/options.h"
#include "cat/progress.h"
#include "cat/receiver.h"
#include "cat/sender.h"

namespace sio_cat {

// The legal order of the end: the input ends, everything is acknowledged (with --checksum: and
// judged, at both ends), sending is shut down, the peer's end comes, everything of it is written. A
// direction does not wait for the other one, but with --no-input: then the peer's end is waited for
// first, so that it learns by ours that all was written.
class Transfer {
 public:
  Transfer(const Options& options, const Memory& memory, const sio::Channel& channel,
           sio::Socket socket);
  // Ends the connection: so that the peer takes it for a failure, unless run() has returned.
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // kDone or kDiffers; throws Failure.
  ExitStatus run();

 private:
  void step();
  bool advance();
  void take_events();
  void take(const event_data_t& event);
  void finish_receiving();
  void judge();
  bool may_shut_down() const;
  bool over() const;
  Amounts amounts() const;
  ExitStatus report();

  const Options& options_;
  const sio::Channel& channel_;
  sio::Socket socket_;
  Sender sender_;
  Receiver receiver_;
  Progress progress_;
  const bool input_is_terminal_;  // it has no end of its own: it ends with the peer's
  uint64_t to_send_;
  int timer_ = 0;
  bool received_ = false;  // all that was to come, and it is written
  bool right_ = true;      // with --checksum: it is what was sent
  bool over_ = false;
};

}  // namespace sio_cat
