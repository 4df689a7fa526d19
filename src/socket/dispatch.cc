// SPDX-License-Identifier: BSD-2-Clause
#include "socket/dispatch.h"

#include <array>
#include <exception>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "base/log.h"
#include "control/control_thread.h"
#include "provider/provider.h"
#include "socket/socket_guard.h"

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

// Tells sockets of what happened. Those of one channel that follow one another are told under one
// lock, unless somebody waits for it: so a thread that sleeps there wakes once for all of them.
class Teller {
 public:
  bool tell(provider::ConnectionEvent& event) {
    Target target;
    if (!find_target(event.endpoint, target)) return false;
    // An endpoint on its way from a listener to a new socket is nobody's: what is told of it then
    // shows in the call that takes it over.
    if (!find(target) || !target.socket->owns_endpoint(event.endpoint)) return false;
    target.socket->on_connection_event(event);
    return true;
  }

 private:
  // Whether it is still that socket; its channel is locked then.
  bool find(const Target& target) {
    if (guard_) {
      ChannelGuard& channel = guard_->channel();
      const bool here = target.socket->channel() == channel.get();
      if (here && !channel->mutex().is_waited_for()) {
        return target.socket->generation() == target.generation;
      }
    }
    guard_.reset();  // two locks are never held at once
    guard_.emplace(SocketGuard::of(target.socket, target.generation));
    if (!*guard_) guard_.reset();
    return guard_.has_value();
  }

  std::optional<SocketGuard> guard_;
};

// What fails (out of memory, say) is no reason to forget other events.
template <typename Do>
bool attempt(Do what) noexcept {
  try {
    return what();
  } catch (const std::exception& error) {
    LOG_ERROR("an event of a connection: %s", error.what());
    return false;
  }
}

// In the control thread, which has other things to do as well: some of them, and it comes back if
// there are more. What happened is taken before anybody is told of it.
void take_events() {
  constexpr size_t kMost = 32;
  provider::ConnectionManager& connections = provider::instance().connections();
  std::array<provider::ConnectionEvent, kMost> events;
  size_t n = 0;
  while (n < kMost && attempt([&] { return connections.next_event(events[n]); })) ++n;
  Teller teller;
  for (size_t i = 0; i < n; ++i) attempt([&] { return teller.tell(events[i]); });
}

}  // namespace

void start_dispatch() {
  static const bool started = [] {
    provider::Provider& provider = provider::instance();
    ControlThread& control = ControlThread::instance();
    for (const int fd : provider.async_fds()) {
      control.watch(fd, [fd] {
        if (!provider::instance().handle_async(fd)) ControlThread::instance().unwatch(fd);
      });
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
