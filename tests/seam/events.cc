// SPDX-License-Identifier: BSD-2-Clause
#include "seam/events.h"

#include <poll.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace sio::test {

using internal::provider::ConnectionEvent;
using internal::provider::ConnectionManager;
using internal::provider::Endpoint;

namespace {

class Pump {
 public:
  explicit Pump(ConnectionManager& manager) {
    std::thread([this, &manager] { run(manager); }).detach();
  }

  std::optional<ConnectionEvent> take(milliseconds limit, const Endpoint* of) {
    const auto wanted = [of](const ConnectionEvent& event) {
      return of == nullptr || event.endpoint == of->serial();
    };
    std::unique_lock lock(mutex_);
    auto found = events_.end();
    come_.wait_for(lock, limit, [&] {
      found = std::find_if(events_.begin(), events_.end(), wanted);
      return found != events_.end();
    });
    if (found == events_.end()) return std::nullopt;
    ConnectionEvent event = std::move(*found);
    events_.erase(found);
    return event;
  }

 private:
  [[noreturn]] void run(ConnectionManager& manager) {
    for (;;) {
      ConnectionEvent event;
      while (manager.next_event(event)) {
        const std::lock_guard lock(mutex_);
        events_.push_back(std::exchange(event, {}));
        come_.notify_one();
      }
      pollfd entry{manager.fd(), POLLIN, 0};
      poll(&entry, 1, -1);
    }
  }

  std::mutex mutex_;
  std::condition_variable come_;
  std::deque<ConnectionEvent> events_;
};

Pump& pump() {
  static auto* const one = new Pump(internal::provider::instance().connections());  // never ends
  return *one;
}

}  // namespace

ConnectionManager& connections() {
  pump();
  return internal::provider::instance().connections();
}

std::optional<ConnectionEvent> try_next_event(milliseconds limit, const Endpoint* of) {
  return pump().take(limit, of);
}

ConnectionEvent next_event(const Endpoint* of) {
  auto event = try_next_event(kSoon, of);
  if (!event) fail("no event of the connection manager");
  return std::move(*event);
}

ConnectionEvent expect_event(ConnectionEvent::Kind wanted, const Endpoint* of) {
  ConnectionEvent event = next_event(of);
  if (event.kind != wanted) {
    fail("event %d (%s) instead of %d", static_cast<int>(event.kind), std::strerror(event.error),
         static_cast<int>(wanted));
  }
  return event;
}

void must_not_fail(int result, const char* what) {
  if (result != 0) fail("%s: %s", what, std::strerror(-result));
}

}  // namespace sio::test
