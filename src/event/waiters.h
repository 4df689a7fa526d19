// SPDX-License-Identifier: BSD-2-Clause
//
// The threads that wait on a channel while another of them leads (sleeps in epoll_wait): each
// on a futex word of its own, first come first woken, so that one event wakes one thread.
#pragma once

#include <atomic>
#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <mutex>

#include "base/clock.h"
#include "base/mutex.h"

namespace sio::internal {

enum class WaitFor : uint8_t {
  kEvent,  // ec_delay: an event in the ring
  kState,  // a blocking call: its socket's state
};

class Waiters {
 public:
  // Waits until woken: 0, -EINTR or -ETIMEDOUT. Gives up `lock` (the channel's) meanwhile.
  int wait(std::unique_lock<Mutex>& lock, WaitFor what, TimePoint deadline) noexcept;

  // Under the channel's lock. wake_one: false if nobody waits for that.
  bool wake_one(WaitFor what) noexcept;
  void wake_all(WaitFor what) noexcept {
    while (wake_one(what)) {
    }
  }
  // Whoever has waited longest, to take the lead.
  void wake_any() noexcept {
    if (!waiting_.empty()) wake(waiting_.front());
  }
  bool empty() const noexcept { return waiting_.empty(); }

 private:
  // In the waiting thread's frame.
  struct Waiter : boost::intrusive::list_base_hook<> {
    explicit Waiter(WaitFor wanted) noexcept : what(wanted) {}
    std::atomic<uint32_t> woken{0};
    const WaitFor what;
  };

  void wake(Waiter& waiter) noexcept;

  boost::intrusive::list<Waiter, boost::intrusive::constant_time_size<false>> waiting_;
};

}  // namespace sio::internal
