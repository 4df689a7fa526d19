// SPDX-License-Identifier: BSD-2-Clause
//
// Waiting in a channel, for whatever holds. First it spins; then one thread leads, which sleeps in
// epoll_wait and sees to what comes, and the others wait for it to tell them (waiters.h).
#pragma once

#include <algorithm>

#include "event/channel.h"

namespace sio::internal {

// After arm(): what came before that wakes nobody. What it leads to may want another arming (a send
// that somebody waits for was posted), so until there is nothing more, or enough. False: there is
// no end of it, as a peer whose frames come to nothing can bring about. Then the descriptor stays
// readable, and nobody may sleep on anything else.
template <typename Enough>
bool Channel::look_behind_arming(Enough enough) noexcept {
  for (int left = kMostArmings; progress() && !enough(); arm()) {
    if (--left > 0) continue;
    kick();
    return false;
  }
  return true;
}

template <typename Ready>
bool Channel::spin_until(Lock& lock, uint64_t generation, TimePoint deadline, Ready& ready) {
  if (hub_->empty() || spin_.budget() == nanoseconds(0)) return false;
  const TimePoint end = std::min(deadline, Clock::now() + spin_.budget());
  TimePoint now;
  do {
    lock.unlock();  // others of this channel must get in
    Deferred::run_noted();
    lock.lock();
    if (generation_ != generation || state_.closed) return true;
    progress();
    if (ready()) {
      spin_.paid();
      return true;
    }
    now = Clock::now();
    if (hub_->holding()) tick_in_passing(now);
  } while (now < end);
  spin_.failed();
  return false;
}

template <typename Ready>
int Channel::wait(Lock& lock, WaitFor what, TimePoint deadline, Ready ready) {
  const uint64_t generation = generation_;
  harvest();
  progress();
  if (!ready() && !is_over(deadline)) spin_until(lock, generation, deadline, ready);
  int result = 0;
  while (generation_ == generation && !state_.closed && !ready() && result == 0) {
    tell();
    if (Deferred::any()) {  // work that waits for this thread to hold no lock
      lock.unlock();
      Deferred::run_noted();
      lock.lock();
      continue;
    }
    if (state_.leading) {
      if (apart_) wake_apart();  // somebody must be in epoll_wait now
      hub_->before_sleep();
      arm_for_what_was_posted();
      if (ready()) break;
      if (Deferred::any() || has_untold()) continue;
      stir();
      result = waiters_.wait(lock, what, deadline);
    } else {
      arm();
      const bool ended = look_behind_arming(ready);
      if (ready()) break;
      if (ended && (Deferred::any() || has_untold())) continue;
      result = ended ? lead(lock, deadline, what) : give_way(lock);
    }
    if (generation_ != generation || state_.closed) break;
    progress();
    if (result == 0 && is_over(deadline)) result = -ETIMEDOUT;
  }
  if (generation_ != generation || state_.closed) return -EBADF;
  if (ready()) {
    result = 0;
    claimed_ = what == WaitFor::kEvent;
  }
  if (!state_.leading) waiters_.wake_any();  // who still waits needs somebody in epoll_wait
  return result;
}

}  // namespace sio::internal
