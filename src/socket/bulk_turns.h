// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <boost/intrusive/list.hpp>

#include "base/clock.h"
#include "event/channel.h"

namespace sio::internal {

// Who waits for memory of a pool that several connections have together: first come, first served.
// Nobody takes any before those who wait, and who has got some goes behind them. But the first may
// wait for memory that a peer or the program keeps for good, so the others wait for it only half of
// the time: a while, then they may take what they find for as long; and twice as long each time, so
// that sooner or later all that comes back is left to it. Used under the channel's lock.
class BulkTurns {
 public:
  struct Turn : boost::intrusive::list_base_hook<> {
    explicit Turn(CompletionHandler* whose) noexcept : handler(whose) {}
    CompletionHandler* const handler;
  };

  explicit BulkTurns(Channel& channel) noexcept : channel_(channel) {}

  bool may_take(const Turn& turn) noexcept {
    return waiting_.empty() || &waiting_.front() == &turn || others_may();
  }
  // It has found none, or must not look.
  void wait(Turn& turn) noexcept;
  // It has got some, or wants none: it is the next one's turn.
  void pass(Turn& turn) noexcept;

  // Those whose turn it is look for memory, until one finds none; then the others, if they may.
  void serve() noexcept;

 private:
  using Turns = boost::intrusive::list<Turn>;

  void begin_turn() noexcept;
  bool others_may() noexcept;
  void serve_others(const Turn& first) noexcept;
  void wake_others_later() noexcept;

  Channel& channel_;
  Turns waiting_;
  bool open_ = false;       // to the others
  milliseconds length_{0};  // of this while
  TimePoint ends_{};
  TimePoint wakes_{};  // when the others are looked after by a timer
};

}  // namespace sio::internal
