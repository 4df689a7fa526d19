// SPDX-License-Identifier: BSD-2-Clause
//
// The control thread: what a kernel would do behind a socket's back. It sleeps in
// epoll_wait until a descriptor is ready, a timer is due or a task is given to it. It knows
// nothing of sockets: what it runs is given to it as functions.
//
// All of what it runs must be brief and must not block for another thread that waits for it.
// What was given to it once can be given to it again without asking for memory: timers and
// descriptors that come and go by the message are free of that.
//
// Functions find their object by a pointer to memory that is never given back and must check
// for themselves that it is still the object they were made for.
#pragma once

#include <sys/epoll.h>

#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/reusing_map.h"
#include "control/task.h"

namespace sio::internal {

class ControlThread {
 public:
  // Names a task that is to run at a time.
  using Timer = std::pair<TimePoint, uint64_t>;
  using Task = internal::Task;

  // Started at first use, never ended: threads of a library can not be joined safely at exit.
  static ControlThread& instance();

  // Runs `task` in the thread, soon.
  void post(Task task);

  // Runs `task` in the thread at `when` or a little later.
  Timer at(TimePoint when, Task task);
  // Forgets a timer, if it is still there. Its task may be running, so tasks check for themselves.
  void cancel(const Timer& timer) noexcept;

  // Runs `ready` in the thread each time that `fd` is readable, until unwatch. The function is
  // called level-triggered, so it must take what is there.
  void watch(int fd, Task ready);
  // The same, but once: `ready` is forgotten before it runs.
  void watch_once(int fd, Task ready);
  void unwatch(int fd) noexcept;

 private:
  // As many of each are there from the start.
  static constexpr size_t kUsual = 64;

  struct Watched {
    Task ready;
    bool once = false;
  };

  ControlThread();
  void run() noexcept;
  void run_due();
  void run_ready(const epoll_event* events, int n);
  static void run_one(const Task& task) noexcept;
  const timespec* time_left(timespec& left);
  void wake() noexcept;
  void add_watch(int fd, Watched watched, uint32_t events);

  OwnFd epoll_;
  OwnFd wake_;
  std::mutex mutex_;  // guards what follows
  std::vector<Task> tasks_;
  ReusingMap<Timer, Task> timers_{kUsual};
  uint64_t timers_made_ = 0;
  ReusingMap<int, Watched> watched_{kUsual};
  std::vector<Task> due_;  // the thread's alone; empty but while it runs them
};

}  // namespace sio::internal
