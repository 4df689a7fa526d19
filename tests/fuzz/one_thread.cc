// SPDX-License-Identifier: BSD-2-Clause
#include "one_thread.h"

#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <vector>

#include "base/clock.h"
#include "base/deferred.h"
#include "control/control_thread.h"
#include "must.h"

namespace {

using sio::internal::ControlThread;
using sio::internal::kNever;
using sio::internal::TimePoint;

struct Watched {
  ControlThread::Task ready;
  bool once;
};

struct Control {
  TimePoint now{std::chrono::seconds(1000)};
  std::vector<ControlThread::Task> tasks;
  std::map<ControlThread::Timer, ControlThread::Task> timers;
  uint64_t timers_made = 0;
  std::map<int, Watched> watched;
  sio::test::Asleep (*asleep)() = nullptr;
};

Control& control() {
  static auto* const one = new Control;
  return *one;
}

void run(const ControlThread::Task& task) {
  task();
  sio::internal::Deferred::run_noted();
}

bool run_due() {
  std::vector<ControlThread::Task> due;
  due.swap(control().tasks);
  auto& timers = control().timers;
  while (!timers.empty() && timers.begin()->first.first <= control().now) {
    due.push_back(std::move(timers.begin()->second));
    timers.erase(timers.begin());
  }
  for (const ControlThread::Task& task : due) run(task);
  return !due.empty();
}

bool run_ready() {
  std::vector<pollfd> entries;
  for (const auto& [fd, watched] : control().watched) entries.push_back({fd, POLLIN, 0});
  if (::poll(entries.data(), entries.size(), 0) <= 0) return false;
  for (const pollfd& entry : entries) {
    const auto found = control().watched.find(entry.fd);
    if ((entry.revents & POLLIN) == 0 || found == control().watched.end()) continue;
    const ControlThread::Task ready = found->second.ready;
    if (found->second.once) control().watched.erase(found);
    run(ready);
  }
  return true;
}

// Until `look` finds something: what it found; or 0, the time is over; or -1, a signal.
template <typename Look>
int sleep(const timespec* timeout, Look look) {
  TimePoint deadline = kNever;
  if (timeout != nullptr) {
    deadline = control().now + std::chrono::seconds(timeout->tv_sec) +
               std::chrono::nanoseconds(timeout->tv_nsec);
  }
  for (;;) {
    sio::test::run_control();
    if (const int found = look(); found != 0) return found;
    if (control().now >= deadline) return 0;
    const sio::test::Asleep happened = control().asleep();
    if (happened == sio::test::Asleep::kSignal) return errno = EINTR, -1;
    if (happened == sio::test::Asleep::kSomething) continue;
    TimePoint next = deadline;
    if (!control().timers.empty()) next = std::min(next, control().timers.begin()->first.first);
    if (next == kNever && happened == sio::test::Asleep::kNothingElse) return errno = EINTR, -1;
    MUST(next != kNever && "somebody will wake the call");
    control().now = std::max(control().now, next);
  }
}

}  // namespace

namespace sio::test {

void run_control() {
  int rounds = 0;
  for (bool busy = true; busy;) {
    MUST(++rounds < 1000);  // or it would spin
    busy = run_due();
    busy |= run_ready();
  }
}

void pass_time(std::chrono::nanoseconds time) {
  const TimePoint end = control().now + time;
  auto& timers = control().timers;
  while (!timers.empty() && timers.begin()->first.first <= end) {
    control().now = std::max(control().now, timers.begin()->first.first);
    run_control();
  }
  control().now = std::max(control().now, end);
  run_control();
}

void set_asleep(Asleep (*happens)()) { control().asleep = happens; }

size_t control_work() { return control().tasks.size() + control().timers.size(); }

}  // namespace sio::test

namespace sio::internal {

ControlThread::ControlThread() = default;

ControlThread& ControlThread::instance() {
  static auto* const thread = new ControlThread;
  return *thread;
}

void ControlThread::post(Task task) { control().tasks.push_back(std::move(task)); }

ControlThread::Timer ControlThread::at(TimePoint when, Task task) {
  const Timer timer{when, ++control().timers_made};
  control().timers.emplace(timer, std::move(task));
  return timer;
}

void ControlThread::cancel(const Timer& timer) noexcept { control().timers.erase(timer); }

void ControlThread::watch(int fd, Task ready) { control().watched[fd] = {std::move(ready), false}; }

void ControlThread::watch_once(int fd, Task ready) {
  control().watched[fd] = {std::move(ready), true};
}

void ControlThread::unwatch(int fd) noexcept { control().watched.erase(fd); }

}  // namespace sio::internal

// In the place of the C++ library's: each look at the clock takes a microsecond, so that who spins
// until a time gets there.
std::chrono::steady_clock::time_point std::chrono::steady_clock::now() noexcept {
  return control().now += std::chrono::microseconds(1);
}

// In the place of the C library's: where the library sleeps.
extern "C" int epoll_pwait2(int epoll, epoll_event* ready, int most, const timespec* timeout,
                            const sigset_t*) {
  return sleep(timeout, [&] { return ::epoll_wait(epoll, ready, most, 0); });
}

extern "C" int ppoll(pollfd* entries, nfds_t n, const timespec* timeout, const sigset_t*) {
  return sleep(timeout, [&] { return ::poll(entries, n, 0); });
}
