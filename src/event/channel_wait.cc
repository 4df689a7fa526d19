// SPDX-License-Identifier: BSD-2-Clause
//
// Channels: going to sleep, and waking those who do.
#include "event/channel_wait.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "base/epoll.h"

namespace sio::internal {
namespace {

// Whoever looks so often although it could sleep polls on: then it is left alone for twice as long,
// so that one message in ten milliseconds costs it no arming either.
constexpr unsigned kPollsOn = 64;
constexpr milliseconds kMostPollingSpin{16};
// After so many looks in vain at a channel that is armed its device may have gone: whoever sleeps
// by itself would be woken by the descriptor, for ever, and nothing else tells of it.
constexpr unsigned kDoubtsAfter = 1u << 16;

}  // namespace

bool Channel::spinning() noexcept {
  if (strict_ || hub_->empty()) return false;
  if (++empties_ % kClockEvery != 0) return spin_.limit() > nanoseconds(0);
  if (empties_ == kClockEvery) empty_since_ = Clock::now();
  // A hidden channel's descriptor is the socket's, which programs sleep on without asking for it.
  const nanoseconds least = hidden() ? nanoseconds(0) : polling_spin_;
  const nanoseconds limit = std::max(least, spin_.limit());
  return Clock::now() - empty_since_ < limit;
}

// How long the next spin may be, by what the program did after the last one: it polled on, or
// slept.
void Channel::learn_whether_it_polls() noexcept {
  const bool polled_on = std::exchange(looks_armed_, 0) >= kPollsOn;
  polling_spin_ = polled_on ? std::min(2 * polling_spin_, kMostPollingSpin)
                            : std::max(polling_spin_ / 2, kLeastPollingSpin);
}

bool Channel::saw_empty() noexcept {
  overflow_told_ = false;
  if (is_armed()) {
    if (++looks_armed_ % kDoubtsAfter != 0) return true;
    hub_->notified();
  }
  // While it spins the descriptor stays readable, or armed for all that could come.
  if (!hub_->armed_for_too_little() && spinning()) return true;
  learn_whether_it_polls();
  arm();
  harvest();
  look_behind_arming([this] { return hidden() ? hidden_->readable() : !ring_->empty(); });
  return hidden() ? !hidden_->readable() : ring_->empty();
}

// Takes what made the descriptor readable and arms everything. The caller looks once more.
void Channel::arm() noexcept {
  hub_->before_sleep();
  if (kicked_ &&
      (!state_.leading || apart_)) {  // else it is for the one who sleeps: it may not have woken
    eventfd_t count;
    [[maybe_unused]] const int result = eventfd_read(kick_.get(), &count);
    kicked_ = false;
    state_.took_kick = true;
    stir();
  }
  if (hub_->needs_arming()) hub_->arm();
  armed_ = true;
}

// Somebody may sleep who armed for solicited completions only, when nothing was posted yet.
void Channel::arm_for_what_was_posted() noexcept {
  if (!hub_->armed_for_too_little()) return;
  hub_->arm_for_all();
  for (int left = kMostArmings; progress();) {
    if (--left == 0) return kick();
  }
}

bool Channel::arm_for_others() noexcept {
  arm();
  const bool ended = look_behind_arming([] { return false; });
  // This thread takes nothing: what was there before stays to be seen by who sleeps on it.
  if (has_content()) kick();
  return ended;
}

void Channel::kick() noexcept {
  if (kicked_) return;
  kicked_ = true;
  [[maybe_unused]] const int result = eventfd_write(kick_.get(), 1);
}

int Channel::sleep(Lock& lock, TimePoint deadline) noexcept {
  epoll_event ready[kMostReady];
  timespec left{};
  if (deadline != kNever) left = time_until(deadline);
  const uint64_t generation = generation_;
  const int epoll = epoll_.get();
  lock.unlock();
  const int n = wait_for_epoll(epoll, ready, kMostReady, deadline == kNever ? nullptr : &left);
  const int error = n < 0 ? errno : 0;
  lock.lock();
  if (generation_ != generation) return -EBADF;
  take_ready(ready, std::max(n, 0));
  return error == EINTR ? -EINTR : 0;
}

// As sleep(), but for completions and wake_apart() only.
int Channel::sleep_apart(Lock& lock, TimePoint deadline) noexcept {
  pollfd entries[CompletionHub::kMostDevices + 1];
  nfds_t n = 0;
  hub_->for_each_descriptor([&](int fd) { entries[n++] = {fd, POLLIN, 0}; });
  if (!wake_apart_) wake_apart_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (wake_apart_) {
    entries[n++] = {wake_apart_.get(), POLLIN, 0};
  } else {  // no descriptor is left: look again soon
    deadline = std::min(deadline, Clock::now() + milliseconds(1));
  }
  timespec left{};
  if (deadline != kNever) left = time_until(deadline);
  const uint64_t generation = generation_;
  lock.unlock();
  const int ready = ppoll(entries, n, deadline == kNever ? nullptr : &left, nullptr);
  const int error = ready < 0 ? errno : 0;
  lock.lock();
  if (generation_ != generation) return -EBADF;
  if (ready > 0) hub_->notified();
  eventfd_t count;
  if (wake_apart_) [[maybe_unused]]
    const int result = eventfd_read(wake_apart_.get(), &count);
  return error == EINTR ? -EINTR : 0;
}

// Others have their turn: who waits for what was found, and who waits for the lock. The latter
// takes longer to wake than this thread to take it again, so it makes a pause.
int Channel::give_way(Lock& lock) noexcept {
  constexpr timespec kPause = {0, 50'000};
  tell();
  const bool waited_for = mutex_.is_waited_for();
  lock.unlock();
  Deferred::run_noted();
  const int error = waited_for ? clock_nanosleep(CLOCK_MONOTONIC, 0, &kPause, nullptr) : 0;
  lock.lock();
  return error == EINTR ? -EINTR : 0;
}

void Channel::wake_apart() noexcept {
  if (wake_apart_) [[maybe_unused]]
    const int result = eventfd_write(wake_apart_.get(), 1);
}

int Channel::lead(Lock& lock, TimePoint deadline, WaitFor what) noexcept {
  state_.leading = true;
  stir();
  leader_waits_for_ = what;
  apart_ = what == WaitFor::kState && has_content();
  state_.took_kick = false;
  if (apart_) kick();
  const uint64_t generation = generation_;
  sources_->rearm();  // of events that were taken after this thread looked last
  const int result = apart_ ? sleep_apart(lock, deadline) : sleep(lock, deadline);
  if (generation_ == generation) {
    state_.leading = apart_ = false;
    left_.reset();
    if (std::exchange(care_by_leader_, false)) cared_for(Care::kNone);
  }
  return result;
}

// Wakes as many threads as there are new events: those on futexes first, then the leader, then
// whoever may sleep on the descriptor.
void Channel::tell() noexcept {
  if (!armed_ && waiters_.empty()) {  // nobody sleeps
    told_ = ring_->pushed();
    claimed_ = changed_ = false;
    return;
  }
  size_t fresh = untold();
  told_ = ring_->pushed();
  claimed_ = false;
  if (changed_ && !waiters_.empty()) waiters_.wake_all(WaitFor::kState);
  const bool leader_looks = state_.leading && changed_ && leader_waits_for_ == WaitFor::kState;
  changed_ = false;
  if (leader_looks && apart_) wake_apart();
  bool unheard = leader_looks && !apart_;
  if (fresh > 0) {
    if (wake_all_) waiters_.wake_all(WaitFor::kEvent);
    while (fresh > 0 && waiters_.wake_one(WaitFor::kEvent)) --fresh;
    unheard |= (fresh > 0 || wake_all_) && !ring_->empty();
  }
  if (hidden() && !state_.closed && hidden_->readable()) unheard = true;
  if (armed_ && unheard) kick();
}

}  // namespace sio::internal
