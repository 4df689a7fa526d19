// SPDX-License-Identifier: BSD-2-Clause
//
// A POSIX semaphore. Nothing but sem_wait waits for one, so each has a thread, which takes the
// semaphore on the program's behalf and then rests until the program has taken the event: at most
// one is taken that the program has not been told of, and the rest is left to others.
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include "event/added_source.h"

namespace sio::internal {

class Channel;

class SemaphoreSource final : public AddedSource {
 public:
  SemaphoreSource(sem_t* semaphore, void* cookie) noexcept
      : AddedSource(cookie), semaphore_(semaphore) {}
  // Ends the thread; afterwards the semaphore is not looked at any more. One that was taken and
  // not told of is given back.
  ~SemaphoreSource() override;

  // After it was added to that channel. Throws.
  void start(Channel& channel);

  bool emit(EventRing& ring) noexcept override;
  void taken(const EventNote&) noexcept override;

 private:
  // Where a thread of ours finds a source, if it is still there.
  struct Place {
    Channel* channel = nullptr;
    uint64_t generation = 0;
    int id = 0;
  };

  void run();
  void offer();

  sem_t* const semaphore_;
  sem_t told_;  // the thread may take the next one
  pthread_t thread_{};
  bool started_ = false;
  Place place_;
  bool holds_ = false;  // one was taken that no event has told of
  bool in_ring_ = false;
};

}  // namespace sio::internal
