// SPDX-License-Identifier: BSD-2-Clause
//
// What a device does on its own: takes messages and acknowledges them when the program computes
// and does not call. It lives in the control thread, by way of the connection manager's descriptor.
//
// A channel at rest is watched: the first bytes that come set it ticking. A channel that ticks is
// looked at every kTick; if nobody has polled since the last tick, its bytes are moved here. When
// nothing comes or goes any more it rests again. So nothing ticks while nothing happens.
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"

namespace sio::internal::provider::soft {

class SoftCompletionChannel;

class Attendant {
 public:
  static constexpr milliseconds kTick{20};

  Attendant();
  Attendant(const Attendant&) = delete;
  Attendant& operator=(const Attendant&) = delete;

  // Readable when run() has something to do.
  int fd() const noexcept { return epoll_.get(); }
  void add(SoftCompletionChannel* channel);
  void remove(SoftCompletionChannel* channel) noexcept;

  // Ticks until a tick after which nobody wants more. Any thread.
  void start_ticking() noexcept;

  // In the control thread. `other`: who else ticks, and whether it wants more.
  template <typename Other>
  void run(Other other) noexcept;

 private:
  static constexpr unsigned kLinkEvery = 25;  // ticks between two looks for dead links

  void set_timer(milliseconds interval) noexcept;
  void watch(SoftCompletionChannel* channel, uint32_t events) noexcept;
  bool take_ready() noexcept;
  bool tick_channels() noexcept;
  bool anybody_ticks() noexcept;

  OwnFd epoll_;
  OwnFd timer_;
  std::atomic<bool> ticking_{false};
  unsigned ticks_ = 0;
  std::mutex mutex_;  // guards what follows; a channel's lock may be taken under it
  std::vector<SoftCompletionChannel*> channels_;
};

template <typename Other>
void Attendant::run(Other other) noexcept {
  if (!take_ready()) return;
  const bool channels_want = tick_channels();
  if (other() || channels_want) return;
  set_timer(milliseconds(0));
  // Who begins to tick from here on starts the timer again; who did before is seen below.
  ticking_.store(false);
  if (anybody_ticks() || other()) start_ticking();
}

}  // namespace sio::internal::provider::soft
