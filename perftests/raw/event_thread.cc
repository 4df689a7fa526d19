// SPDX-License-Identifier: BSD-2-Clause
#include "raw/event_thread.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <iterator>

#include "process.h"

namespace sio_perf {

EventThread::EventThread(rdma_event_channel& channel, std::function<void()> take,
                         std::function<void()> failed)
    : channel_(channel),
      take_(std::move(take)),
      failed_(std::move(failed)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  if (stop_ < 0) fail_with_errno("eventfd");
  thread_ = std::thread([this] { run(); });
}

EventThread::~EventThread() {
  ::eventfd_write(stop_, 1);
  thread_.join();
  ::close(stop_);
}

std::unique_lock<std::mutex> EventThread::lock() {
  std::unique_lock locked(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  return locked;
}

void EventThread::wait(std::unique_lock<std::mutex>& lock, int timeout_ms) {
  taken_.wait_for(lock, std::chrono::milliseconds(timeout_ms));
  if (failure_) std::rethrow_exception(failure_);
}

void EventThread::run() {
  pollfd waited[] = {{channel_.fd, POLLIN, 0}, {stop_, POLLIN, 0}};
  for (;;) {
    ::poll(waited, std::size(waited), -1);
    if ((waited[1].revents & POLLIN) != 0) return;
    const std::lock_guard lock(mutex_);
    try {
      take_();
    } catch (...) {
      failure_ = std::current_exception();
      failed_();
    }
    taken_.notify_all();
    if (failure_) return;
  }
}

}  // namespace sio_perf
