// SPDX-License-Identifier: BSD-2-Clause
#include "socket/dispatch.h"

#include <mutex>
#include <unordered_map>

#include "base/log.h"
#include "control/control_thread.h"
#include "provider/provider.h"
#include "socket/socket.h"

namespace sio::internal {
namespace {

struct Target {
  Socket* socket;
  uint64_t generation;
};

// Used when connections are made and end, never on the data path.
struct Directory {
  std::mutex mutex;
  std::unordered_map<uint64_t, Target> targets;
};

Directory& directory() {
  static auto* const all = new Directory;
  return *all;
}

bool find_target(uint64_t endpoint, Target& target) {
  const std::lock_guard lock(directory().mutex);
  const auto found = directory().targets.find(endpoint);
  if (found == directory().targets.end()) return false;
  target = found->second;
  return true;
}

void dispatch(provider::ConnectionEvent& event) {
  Target target;
  if (!find_target(event.endpoint, target)) return;
  SocketGuard guard = SocketGuard::of(target.socket, target.generation);
  // An endpoint on its way from a listener to a new socket is nobody's: what is told of it then
  // shows in the call that takes it over.
  if (guard && guard->owns_endpoint(event.endpoint)) guard->on_connection_event(event);
}

void take_events() {
  provider::ConnectionManager& connections = provider::instance().connections();
  provider::ConnectionEvent event;
  while (connections.next_event(event)) dispatch(event);
}

}  // namespace

void start_dispatch() {
  static const bool started = [] {
    provider::Provider& provider = provider::instance();
    ControlThread& control = ControlThread::instance();
    for (const int fd : provider.async_fds()) {
      control.watch(fd, [fd] { provider::instance().handle_async(fd); });
    }
    control.watch(provider.connections().fd(), take_events);
    return true;
  }();
  (void)started;
}

void dispatch_to(uint64_t endpoint, Socket* socket) {
  const std::lock_guard lock(directory().mutex);
  directory().targets[endpoint] = {socket, socket->generation()};
}

void dispatch_to_nobody(uint64_t endpoint) noexcept {
  const std::lock_guard lock(directory().mutex);
  directory().targets.erase(endpoint);
}

}  // namespace sio::internal
