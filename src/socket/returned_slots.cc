// SPDX-License-Identifier: BSD-2-Clause
#include "socket/returned_slots.h"

#include <exception>

#include "base/log.h"
#include "control/control_thread.h"
#include "socket/socket.h"

namespace sio::internal {
namespace {

struct Noted {
  Socket* socket;
  uint64_t generation;
};

// A call releases buffers of few sockets; what does not fit here is the control thread's.
constexpr unsigned kMostNoted = 16;
thread_local Noted noted[kMostNoted];

void post(const Noted& note) noexcept {
  SocketGuard guard = SocketGuard::of(note.socket, note.generation);
  if (guard) guard->post_returned();
}

}  // namespace

thread_local constinit unsigned ReturnedSlots::count_ = 0;

void ReturnedSlots::note(void* socket) noexcept {
  auto* const owner = static_cast<Socket*>(socket);
  const Noted note{owner, owner->generation()};
  if (count_ < kMostNoted) {
    noted[count_++] = note;
    return;
  }
  try {
    ControlThread::instance().post([note] { post(note); });
  } catch (const std::exception& error) {
    LOG_ERROR("slots of a socket are posted late: %s", error.what());
  }
}

void ReturnedSlots::post_all() noexcept {
  while (count_ > 0) post(noted[--count_]);
}

}  // namespace sio::internal
