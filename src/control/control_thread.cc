// SPDX-License-Identifier: BSD-2-Clause
#include "control/control_thread.h"

#include <pthread.h>
#include <sys/eventfd.h>

#include <algorithm>

#include "base/deferred.h"
#include "base/epoll.h"
#include "base/error.h"
#include "base/log.h"
#include "base/thread.h"

namespace sio::internal {
namespace {

// Nothing that it does is so urgent that a thread of the program has to make way for it, and mostly
// that has a lock that this one would go for: it runs when there is a processor, or its turn has
// come. A program that has chosen another policy is left to it.
void step_back() noexcept {
  int policy;
  sched_param none{};
  if (pthread_getschedparam(pthread_self(), &policy, &none) != 0 || policy != SCHED_OTHER) return;
  [[maybe_unused]] const int result = pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
}

}  // namespace

ControlThread& ControlThread::instance() {
  static ControlThread* const thread = new ControlThread;
  return *thread;
}

ControlThread::ControlThread()
    : epoll_(check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      wake_(check_errno(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  tasks_.reserve(kUsual);
  due_.reserve(kUsual);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = wake_.get();
  check_errno(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event), "epoll_ctl");
  const auto run = [](void* self) -> void* {
    static_cast<ControlThread*>(self)->run();
    return nullptr;
  };
  pthread_detach(start_thread("sio-control", run, this));
}

void ControlThread::wake() noexcept {
  // Fails only when the counter is full: then the thread is being woken already.
  [[maybe_unused]] const int result = eventfd_write(wake_.get(), 1);
}

void ControlThread::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(task);
  }
  wake();
}

ControlThread::Timer ControlThread::at(TimePoint when, Task task) {
  Timer timer;
  bool first;
  {
    const std::lock_guard lock(mutex_);
    timer = {when, ++timers_made_};
    const auto place = timers_.put(timer, task);
    first = place == timers_.begin();
  }
  if (first) wake();
  return timer;
}

void ControlThread::cancel(const Timer& timer) noexcept {
  const std::lock_guard lock(mutex_);
  timers_.erase(timer);
}

void ControlThread::add_watch(int fd, Watched watched, uint32_t events) {
  const std::lock_guard lock(mutex_);
  watched_.put(fd, watched);
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0) return;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return;
  const int error = errno;
  watched_.erase(fd);
  throw_errno(error, "epoll_ctl");
}

void ControlThread::watch(int fd, Task ready) { add_watch(fd, {ready, false}, EPOLLIN); }

void ControlThread::watch_once(int fd, Task ready) {
  add_watch(fd, {ready, true}, EPOLLIN | EPOLLONESHOT);
}

void ControlThread::unwatch(int fd) noexcept {
  const std::lock_guard lock(mutex_);
  if (watched_.erase(fd)) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

// Until the first timer is due; NULL: there is none.
const timespec* ControlThread::time_left(timespec& left) {
  const std::lock_guard lock(mutex_);
  if (!tasks_.empty()) {
    left = {};
  } else if (timers_.empty()) {
    return nullptr;
  } else {
    left = time_until(timers_.begin()->first.first);
  }
  return &left;
}

// Tasks and timers that are due. Each runs without the lock.
void ControlThread::run_due() {
  {
    const std::lock_guard lock(mutex_);
    due_.swap(tasks_);
    const TimePoint now = Clock::now();
    while (!timers_.empty() && timers_.begin()->first.first <= now) {
      due_.push_back(timers_.begin()->second);
      timers_.erase(timers_.begin());
    }
  }
  for (const Task& task : due_) run_one(task);
  due_.clear();
}

// What fails here (out of memory, say) is told to nobody else, and is no reason to forget others.
void ControlThread::run_one(const Task& task) noexcept {
  try {
    task();
  } catch (const std::exception& error) {
    LOG_ERROR("control thread: %s", error.what());
  }
  Deferred::run_noted();
}

void ControlThread::run_ready(const epoll_event* events, int n) {
  for (int i = 0; i < n; ++i) {
    const int fd = events[i].data.fd;
    if (fd == wake_.get()) {
      eventfd_t count;
      [[maybe_unused]] const int result = eventfd_read(fd, &count);
      continue;
    }
    Task ready;
    {
      const std::lock_guard lock(mutex_);
      const auto found = watched_.find(fd);
      if (found == watched_.end()) continue;
      if (found->second.once) {
        ready = found->second.ready;
        watched_.erase(found);
        epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
      } else {
        ready = found->second.ready;
      }
    }
    run_one(ready);
  }
}

void ControlThread::run() noexcept {
  step_back();
  constexpr int kMostEvents = 32;
  epoll_event events[kMostEvents];
  for (;;) {
    try {
      timespec left;
      const int n = wait_for_epoll(epoll_.get(), events, kMostEvents, time_left(left));
      run_ready(events, std::max(n, 0));
      run_due();
    } catch (const std::exception& error) {
      // Out of memory, for a list of tasks.
      LOG_ERROR("control thread: %s", error.what());
    }
  }
}

}  // namespace sio::internal
