// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <mutex>

#include "aio/queue.h"
#include "base/fd.h"

namespace sio::internal {

// Of the requests whose ends come to no channel: SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD. The
// control thread takes what the kernel has ended, sends the signals and starts the threads. Its
// lock is the last that a thread takes.
class LooseQueue final : public RequestQueue {
 public:
  static LooseQueue& instance();

  std::mutex& mutex() noexcept { return mutex_; }
  // Makes sure that the control thread can be called. Throws. Under the lock.
  void open();

  // Without the lock: the descriptor of its ring, whose thread serves all. Throws.
  int shared_ring();
  void conclude(Request& request, const Channel& of_socket) noexcept override;

 private:
  LooseQueue() noexcept : RequestQueue(nullptr) {}

  void watch(int fd) override;
  int ring_to_join() override { return -1; }
  void tell(Request& request) noexcept override;
  void serve() noexcept;
  void give_notice() noexcept;
  static int give_notice(const sigevent& notice) noexcept;

  std::mutex mutex_;
  OwnFd bell_;         // eventfd: something has ended of which notice is to be given
  Completions ended_;  // that
};

}  // namespace sio::internal
