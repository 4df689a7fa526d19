// SPDX-License-Identifier: BSD-2-Clause
//
// Connections of the soft provider: TCP connections that begin with a greeting (greeting.h) and
// then belong to a queue pair. Each is known by its endpoint's serial; all of them are here, under
// one lock, so that endpoints and queue pairs may go while the control thread looks at them.
//
//   kNew ──listen──> kListening
//    │
//    ├─connect──> kReaching ──TCP stands──> kAsking ──answer──┐
//   (incoming) kGreeting ──request──> kAsked ──accept─────────┴──> kConnected ──> kLeaving ──>
//   kGone
//
// What becomes of one of them is in conversations.cc; events, time and questions are in
// connection_manager.cc.
//
// Locks: this one, then a channel's, then that of the events.
#pragma once

#include <list>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "provider/provider.h"
#include "provider/soft/greeting.h"
#include "provider/soft/lookups.h"

namespace sio::internal::provider::soft {

class SoftDevice;
class SoftQueuePair;

class SoftConnectionManager final : public ConnectionManager {
 public:
  explicit SoftConnectionManager(SoftDevice& device);
  ~SoftConnectionManager() override;
  SoftConnectionManager(const SoftConnectionManager&) = delete;
  SoftConnectionManager& operator=(const SoftConnectionManager&) = delete;

  int fd() const noexcept override { return epoll_.get(); }
  bool next_event(ConnectionEvent& event) override;
  std::unique_ptr<Endpoint> create_endpoint() override;
  std::unique_ptr<Endpoint> create_datagram_endpoint() override;

  // An event of an endpoint, from any thread.
  void tell(ConnectionEvent event) noexcept;
  void tell(std::list<ConnectionEvent> events) noexcept;
  void tell(ConnectionEvent::Kind kind, uint64_t serial, int error = 0,
            std::vector<std::byte> data = {}) noexcept;
  // Before all that waits to be told, of this endpoint at least.
  void tell_first(ConnectionEvent event) noexcept;

  // For endpoints. 0 or -errno.
  uint64_t open();
  void close(uint64_t serial) noexcept;
  int bind(uint64_t serial, const sockaddr* address, bool reuse) noexcept;
  int listen(uint64_t serial, int backlog) noexcept;
  int resolve(uint64_t serial, const sockaddr* peer) noexcept;
  int connect(uint64_t serial, std::span<const std::byte> data) noexcept;
  int accept(uint64_t serial, std::span<const std::byte> data) noexcept;
  int reject(uint64_t serial, std::span<const std::byte> data) noexcept;
  int disconnect(uint64_t serial) noexcept;
  sockaddr_storage local_address(uint64_t serial) const noexcept;
  sockaddr_storage peer_address(uint64_t serial) const noexcept;
  bool has_device(uint64_t serial) const noexcept;
  std::unique_ptr<QueuePair> create_queue_pair(uint64_t serial, CompletionQueue& queue,
                                               const QueueSizes& sizes);
  std::unique_ptr<SecondQueuePair> create_second_pair(uint64_t serial, CompletionQueue& queue,
                                                      const QueueSizes& sizes);
  // For the queue pair's destructor.
  void queue_pair_goes(uint64_t serial, const SoftQueuePair* pair) noexcept;

 private:
  enum class State : uint8_t {
    kNew,
    kListening,
    kReaching,   // TCP is being set up
    kAsking,     // our request is out
    kGreeting,   // the peer's request is coming; no endpoint yet
    kAsked,      // it has come, and waits for accept or reject
    kConnected,  // the stream is the queue pair's
    kLeaving,    // we have said goodbye, and wait for the peer's
    kGone,
  };
  struct Conversation {
    State state = State::kNew;
    bool orphaned = false;  // no endpoint knows of it
    bool resolved = false;
    OwnFd stream;
    sockaddr_storage local{};
    sockaddr_storage peer{};
    uint64_t listener = 0;  // of one that comes in
    SoftQueuePair* pair = nullptr;
    uint32_t peer_number = 0;
    std::vector<char> greeting;  // what has come of it
    TimePoint deadline = kNever;
  };
  using Conversations = std::map<uint64_t, Conversation>;

  bool take_told(ConnectionEvent& event);
  void established(uint64_t serial) noexcept;
  Conversation* find(uint64_t serial) noexcept;
  const Conversation* find(uint64_t serial) const noexcept;
  int watch(uint64_t serial, int fd, uint32_t events) noexcept;
  void unwatch(int fd) noexcept;
  void set_deadline(Conversation& one, milliseconds limit) noexcept;
  bool end_what_is_late() noexcept;
  void is_late(uint64_t serial, Conversation& one) noexcept;
  int open_stream(Conversation& one, int family) noexcept;

  void look_at(uint64_t serial);
  void take_connections(uint64_t serial, Conversation& listener);
  void finish_reaching(uint64_t serial, Conversation& one);
  void read_greeting(uint64_t serial, Conversation& one);
  void greeting_came(uint64_t serial, Conversation& one, Greeting::Kind kind,
                     std::vector<std::byte> data);
  void refused(uint64_t serial, Conversation& one, int error, std::vector<std::byte> data);
  bool answer(Conversation& one, const Greeting& greeting,
              std::span<const std::byte> data) noexcept;
  void say_goodbye(uint64_t serial, Conversation& one, OwnFd stream) noexcept;
  void await_goodbye(uint64_t serial, Conversation& one) noexcept;
  void gone(uint64_t serial, Conversation& one) noexcept;

  SoftDevice& device_;
  OwnFd epoll_;
  OwnFd told_;  // eventfd: there are events
  mutable std::mutex mutex_;
  Conversations conversations_;
  std::set<uint64_t> greetings_;  // those in kGreeting, the oldest first
  std::mutex events_mutex_;
  std::list<ConnectionEvent> events_;
  Lookups lookups_;
};

}  // namespace sio::internal::provider::soft
