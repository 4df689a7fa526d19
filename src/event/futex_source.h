// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include "event/added_source.h"
#include "event/futex_watch.h"

namespace sio::internal {

class Channel;

// A futex word, until it is woken or is no longer what it was. Ends with its event.
class FutexSource final : public AddedSource {
 public:
  explicit FutexSource(void* cookie) noexcept : AddedSource(cookie) {}
  // What was heard and the program has not taken is left to who else waits.
  ~FutexSource() override;

  // After it was added to that channel. Throws.
  void start(Channel& channel, const FutexWatch::Word& word);

  bool emit(EventRing& ring) noexcept override;
  void taken(const EventNote&) noexcept override { state_ = State::kTaken; }
  Next after_taken() noexcept override { return Next::kEnd; }

 private:
  enum class State { kWaits, kHeard, kTold, kTaken };

  uint64_t ticket_ = 0;
  FutexWatch::Word word_{};
  State state_ = State::kWaits;
  uint32_t now_ = 0;
  int error_ = 0;
};

}  // namespace sio::internal
