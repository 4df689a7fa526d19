// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <chrono>

#include "config/settings.h"
#include "wire/hello.h"

namespace sio::internal {

// What every queue pair is asked for; devices grant what they like.
inline constexpr uint32_t kInlineWish = 256;  // bytes

// To flush what is posted and to hear that the peer has heard: a device needs microseconds, a
// lost packet of the connection manager a retry.
inline constexpr std::chrono::milliseconds kDrainLimit{1000};

// What can be set on a socket; a connection that a listener accepts begins with its options.
struct SocketOptions {
  uint32_t slot_size = settings().slot_size;
  uint32_t recv_slots = settings().recv_slots;
  uint32_t copy_max = settings().copy_max;
  uint32_t keepalive_ms = settings().keepalive_ms;
  uint32_t connect_timeout_ms = settings().connect_timeout_ms;
  uint32_t spin_us = settings().spin_us;  // of the hidden channel
  uint32_t send_quota = settings().send_quota;
  uint32_t datagram_peers = 1024;
  bool no_delay = false;
  bool reuse_address = false;
  linger on_close{1, 2};  // seconds; l_onoff 0 is the default of 2 s too

  // Bytes of receive memory for these slots and those of the control frames.
  size_t receive_bytes() const noexcept {
    return size_t{recv_slots + wire::kControlSlots} * slot_size;
  }
  // Data slots of `bytes` of receive memory.
  uint32_t slots_in(size_t bytes) const noexcept {
    const size_t all = bytes / slot_size;
    if (all < wire::kControlSlots + wire::kMinSlots) return 0;
    return static_cast<uint32_t>(std::min<size_t>(all - wire::kControlSlots, recv_slots));
  }
};

}  // namespace sio::internal
