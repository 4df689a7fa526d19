// SPDX-License-Identifier: BSD-2-Clause
#include "socket/returned_slots.h"

#include <utility>

#include "socket/socket.h"

namespace sio::internal {
namespace {

struct Noted {
  Socket* socket;
  uint64_t generation;
};

// A call releases buffers of few sockets; what does not fit waits for the socket's own next call.
constexpr unsigned kMostNoted = 16;
thread_local Noted noted[kMostNoted];
thread_local unsigned noted_count = 0;

}  // namespace

void ReturnedSlots::note(void* socket) noexcept {
  auto* const owner = static_cast<Socket*>(socket);
  if (noted_count < kMostNoted) noted[noted_count++] = {owner, owner->generation()};
}

void ReturnedSlots::post_noted() noexcept {
  while (noted_count > 0) {
    const Noted next = noted[--noted_count];
    SocketGuard guard = SocketGuard::of(next.socket, next.generation);
    if (guard) guard->post_returned();
  }
}

}  // namespace sio::internal
