// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <boost/intrusive/list.hpp>

#include "event/channel.h"

namespace sio::internal {

// Who waits for memory of a pool that several connections have together: first come, first served.
// Nobody takes any before those who wait, and who has got some goes behind them. Used under the
// channel's lock.
class BulkTurns {
 public:
  struct Turn : boost::intrusive::list_base_hook<> {
    explicit Turn(CompletionHandler* whose) noexcept : handler(whose) {}
    CompletionHandler* const handler;
  };

  explicit BulkTurns(Channel& channel) noexcept : channel_(channel) {}

  bool may_take(const Turn& turn) const noexcept {
    return waiting_.empty() || &waiting_.front() == &turn;
  }
  void wait(Turn& turn) noexcept {
    if (!turn.is_linked()) waiting_.push_back(turn);
  }
  // It has got some, or wants none: it is the next one's turn.
  void pass(Turn& turn) noexcept {
    if (!turn.is_linked()) return;
    waiting_.erase(waiting_.iterator_to(turn));
    if (!waiting_.empty()) channel_.look_at_extension_later();
  }

  // Those whose turn it is look for memory, until one finds none.
  void serve() noexcept {
    while (!waiting_.empty()) {
      Turn& first = waiting_.front();
      first.handler->settle();
      if (!waiting_.empty() && &waiting_.front() == &first) return;
    }
  }

 private:
  Channel& channel_;
  boost::intrusive::list<Turn> waiting_;
};

}  // namespace sio::internal
