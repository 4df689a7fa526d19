// SPDX-License-Identifier: BSD-2-Clause
#include "event/futex_source.h"

#include "base/deferred.h"
#include "event/channel_guard.h"

namespace sio::internal {

FutexSource::~FutexSource() {
  FutexWatch::instance().remove(ticket_);
  const bool heard = state_ == State::kHeard || state_ == State::kTold;
  if (heard && error_ == 0) FutexWatch::pass_on(word_);
}

void FutexSource::start(Channel& channel, const FutexWatch::Word& word) {
  word_ = word;
  // Perhaps this source has gone when its word is heard of.
  const auto heard = [place = &channel, generation = channel.generation(), id = id()](uint32_t now,
                                                                                      int error) {
    bool here = false;
    {
      ChannelGuard guard(place);
      AddedSource* const found =
          guard->generation() == generation ? guard->find_source(id) : nullptr;
      if (auto* const source = static_cast<FutexSource*>(found)) {
        here = true;
        source->state_ = State::kHeard;
        source->now_ = now;
        source->error_ = error;
        guard->offer(source);
      }
    }
    Deferred::run_noted();  // leaving the channel may have taken completions
    return here;
  };
  ticket_ = FutexWatch::instance().add(word, heard);
}

bool FutexSource::emit(EventRing& ring) noexcept {
  if (state_ != State::kHeard) return true;
  if (ring.full()) return false;
  event_data_t& event = push(ring, EC_FUTEX, id());
  event.value = now_;
  event.error = error_;
  state_ = State::kTold;
  return true;
}

}  // namespace sio::internal
