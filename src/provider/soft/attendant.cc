// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/attendant.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "provider/soft/completion.h"

namespace sio::internal::provider::soft {
namespace {

// A channel at rest may have something for the program that keeps its descriptor readable: only
// what is new is told.
constexpr uint32_t kAtRest = EPOLLIN | EPOLLET;

}  // namespace

Attendant::Attendant()
    : epoll_(check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      timer_(check_errno(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
                         "timerfd_create")) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  check_errno(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, timer_.get(), &event), "epoll_ctl");
}

void Attendant::set_timer(milliseconds interval) noexcept {
  itimerspec times{};
  times.it_interval.tv_nsec = times.it_value.tv_nsec =
      std::chrono::duration_cast<nanoseconds>(interval).count();
  timerfd_settime(timer_.get(), 0, &times, nullptr);
}

void Attendant::start_ticking() noexcept {
  if (!ticking_.exchange(true)) set_timer(kTick);
}

void Attendant::add(SoftCompletionChannel* channel) {
  const std::lock_guard lock(mutex_);
  channels_.push_back(channel);
  epoll_event event{};
  event.events = kAtRest;
  event.data.ptr = channel;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, channel->fd(), &event) != 0) {
    const int error = errno;
    channels_.pop_back();
    throw_errno(error, "epoll_ctl");
  }
}

void Attendant::remove(SoftCompletionChannel* channel) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase(channels_, channel);
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, channel->fd(), nullptr);
}

void Attendant::watch(SoftCompletionChannel* channel, uint32_t events) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.ptr = channel;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, channel->fd(), &event);
}

// True: a tick is due.
bool Attendant::take_ready() noexcept {
  constexpr int kMost = 64;
  epoll_event ready[kMost];
  const int n = epoll_wait(epoll_.get(), ready, kMost, 0);
  bool due = false;
  const std::lock_guard lock(mutex_);
  for (int i = 0; i < n; ++i) {
    auto* channel = static_cast<SoftCompletionChannel*>(ready[i].data.ptr);
    if (channel == nullptr) {
      uint64_t count;
      due = ::read(timer_.get(), &count, sizeof count) == sizeof count;
    } else if (std::find(channels_.begin(), channels_.end(), channel) != channels_.end()) {
      if (channel->begin_ticking()) watch(channel, 0);
    }
  }
  return due;
}

bool Attendant::tick_channels() noexcept {
  const bool look_for_dead_links = ++ticks_ % kLinkEvery == 0;
  bool more = false;
  const std::lock_guard lock(mutex_);
  for (SoftCompletionChannel* channel : channels_) {
    if (!channel->ticking()) continue;
    if (channel->tick(look_for_dead_links)) {
      more = true;
    } else {
      watch(channel, kAtRest);
    }
  }
  return more;
}

bool Attendant::anybody_ticks() noexcept {
  const std::lock_guard lock(mutex_);
  return std::any_of(channels_.begin(), channels_.end(),
                     [](SoftCompletionChannel* channel) { return channel->ticking(); });
}

}  // namespace sio::internal::provider::soft
