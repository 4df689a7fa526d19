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
  ~FutexSource() override { FutexWatch::instance().remove(ticket_); }

  // After it was added to that channel. Throws.
  void start(Channel& channel, const FutexWatch::Word& word);

  bool emit(EventRing& ring) noexcept override;
  void taken(const EventNote&) noexcept override {}
  Next after_taken() noexcept override { return Next::kEnd; }

 private:
  enum class State { kWaits, kHeard, kTold };

  uint64_t ticket_ = 0;
  State state_ = State::kWaits;
  uint32_t now_ = 0;
  int error_ = 0;
};

}  // namespace sio::internal
