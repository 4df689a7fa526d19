// SPDX-License-Identifier: BSD-2-Clause
//
// A thread that takes what the connection manager tells, as a library needs one whose program is
// not to make calls for that.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "raw/connection.h"

namespace sio_perf {

class EventThread {
 public:
  // `take` takes all that there is, under the lock. The channel does not block. `failed` tells
  // others, when that threw something.
  EventThread(rdma_event_channel& channel, std::function<void()> take,
              std::function<void()> failed);
  EventThread(const EventThread&) = delete;
  EventThread& operator=(const EventThread&) = delete;
  ~EventThread();

  // While it is held nothing is taken. Both throw what take() did.
  std::unique_lock<std::mutex> lock();
  // Until something was taken, or for that long.
  void wait(std::unique_lock<std::mutex>& lock, int timeout_ms);

 private:
  void run();

  rdma_event_channel& channel_;
  const std::function<void()> take_, failed_;
  const int stop_;  // eventfd
  std::mutex mutex_;
  std::condition_variable taken_;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace sio_perf
