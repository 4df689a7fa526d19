// SPDX-License-Identifier: BSD-2-Clause
//
// Channels, locked for the length of a call.
#pragma once

#include <sio/ec.h>

#include <cstdint>
#include <utility>

#include "event/channel.h"

namespace sio::internal {

// The lock of a channel, for the length of a call that does not wait: no more than a pointer, so
// that it costs little beside the lock itself.
class ChannelHold {
 public:
  ChannelHold() noexcept = default;
  // Takes over the lock.
  explicit ChannelHold(Channel* locked) noexcept : channel_(locked) {}
  ChannelHold(const ChannelHold&) = delete;
  ChannelHold& operator=(const ChannelHold&) = delete;
  [[gnu::always_inline]] ~ChannelHold() {
    if (channel_ != nullptr) channel_->leave();
  }

  // The channel that `ec` names; empty if it names none.
  [[gnu::always_inline]] static ChannelHold of(ec_t ec) noexcept {
    for (;;) {
      Channel* const channel = DescriptorTable::instance().channel(ec);
      if (channel == nullptr) return ChannelHold();
      channel->mutex().lock();
      if (channel->is(ec)) [[likely]]
        return ChannelHold(channel);
      channel->leave();
    }
  }

  explicit operator bool() const noexcept { return channel_ != nullptr; }
  Channel* operator->() const noexcept { return channel_; }

 private:
  Channel* channel_ = nullptr;
};

// The same for a call that may wait, and so give up the lock meanwhile.
class ChannelGuard {
 public:
  ChannelGuard() noexcept = default;
  explicit ChannelGuard(Channel* channel)
      : ChannelGuard(channel, Channel::Lock(channel->mutex())) {}
  // Takes over the lock.
  ChannelGuard(Channel* channel, Channel::Lock lock)
      : channel_(channel), lock_(std::move(lock)), generation_(channel->generation()) {}
  ChannelGuard(ChannelGuard&& other) noexcept
      : channel_(std::exchange(other.channel_, nullptr)),
        lock_(std::move(other.lock_)),
        generation_(other.generation_) {}
  ChannelGuard& operator=(ChannelGuard&&) = delete;
  ~ChannelGuard() { unlock(); }

  // The channel that `ec` names, locked; empty if it names none.
  static ChannelGuard of(ec_t ec);

  explicit operator bool() const noexcept { return channel_ != nullptr; }
  Channel* operator->() const noexcept { return channel_; }
  Channel& operator*() const noexcept { return *channel_; }
  Channel* get() const noexcept { return channel_; }
  Channel::Lock& lock() noexcept { return lock_; }
  void unlock() noexcept {
    if (channel_ == nullptr || !lock_.owns_lock()) return;
    // A wait gives up the lock, and the channel may have gone in between.
    if (channel_->generation() != generation_) return lock_.unlock();
    lock_.release();
    channel_->leave();
  }

 private:
  Channel* channel_ = nullptr;
  Channel::Lock lock_;
  uint64_t generation_ = 0;
};

}  // namespace sio::internal
