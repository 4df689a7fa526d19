// SPDX-License-Identifier: BSD-2-Clause
#include "event/semaphore_source.h"

#include "base/thread.h"
#include "event/channel_guard.h"

namespace sio::internal {
namespace {

// The one place where the thread may be cancelled: only while it sleeps, so never with a semaphore
// in hand. Not noexcept: cancelling unwinds the stack.
void wait_cancellably(sem_t* semaphore) {
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
  while (sem_wait(semaphore) != 0) {
  }
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
}

}  // namespace

void SemaphoreSource::start(Channel& channel) {
  place_ = {&channel, channel.generation(), id()};
  sem_init(&told_, 0, 0);
  const auto run = [](void* self) -> void* {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    static_cast<SemaphoreSource*>(self)->run();
    return nullptr;
  };
  thread_ = start_thread("sio-semaphore", run, this);
  started_ = true;
}

SemaphoreSource::~SemaphoreSource() {
  if (!started_) return;
  pthread_cancel(thread_);
  pthread_join(thread_, nullptr);
  sem_destroy(&told_);
  if (holds_) sem_post(semaphore_);
  // A post may have woken that thread as it ended, and nobody else who waits: it is passed on.
  if (sem_trywait(semaphore_) == 0) sem_post(semaphore_);
}

void SemaphoreSource::run() {
  for (;;) {
    wait_cancellably(semaphore_);
    offer();
    wait_cancellably(&told_);
  }
}

void SemaphoreSource::offer() {
  {
    ChannelGuard channel(place_.channel);
    holds_ = true;
    const bool stands = channel->generation() == place_.generation;
    if (stands && channel->find_source(place_.id) == this) channel->offer(this);
  }
  Deferred::run_noted();  // leaving the channel may have taken completions
}

bool SemaphoreSource::emit(EventRing& ring) noexcept {
  if (!holds_ || in_ring_) return true;
  if (ring.full()) return false;
  push(ring, EC_SEM, id());
  in_ring_ = true;
  return true;
}

void SemaphoreSource::taken(const EventNote&) noexcept {
  holds_ = in_ring_ = false;
  sem_post(&told_);
}

}  // namespace sio::internal
