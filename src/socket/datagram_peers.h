// SPDX-License-Identifier: BSD-2-Clause
//
// Where a datagram socket's messages go: the queue pairs behind addresses. Used under the channel's
// lock.
//
// 1. An address is looked for in this order: here; among those that sent something lately
//    (DatagramReceiver::source), which takes no question; then the connection manager is asked. At
//    most kMostQuestions are under way at once, each for the connect time-out at most.
// 2. There are SIO_DATAGRAM_PEERS addresses here at most. That which was used longest ago is
//    forgotten, but none that is being looked up, has messages waiting, or is the connected peer's.
// 3. What is known is known for kGoodFor. Then, and when its owner sends from another queue pair
//    than before, it is asked for again, while messages go on; a peer that is heard all the while
//    is not asked for. An address that nobody has any more is forgotten.
// 4. Group addresses are here too: the question is a membership for sending, which lasts as long as
//    the entry.
#pragma once

#include <cstdint>
#include <list>
#include <memory>

#include "base/clock.h"
#include "base/inet_address.h"
#include "base/lru_table.h"
#include "control/control_thread.h"
#include "provider/provider.h"
#include "socket/link.h"

namespace sio::internal {

class DatagramReceiver;
class Socket;

struct DatagramPeer {
  enum class State : uint8_t { kAsking, kKnown, kFailed };

  State state = State::kAsking;
  int error = 0;                              // of kFailed: told once
  std::shared_ptr<provider::Destination> to;  // of kKnown
  std::unique_ptr<provider::Endpoint> membership;
  uint16_t sequence = 0;  // of the next datagram
  bool asking = false;    // a question is under way
  bool pinned = false;    // the connected peer's
  uint32_t waiting = 0;   // messages
  TimePoint good_until{};
  TimePoint checked{};
};

class DatagramPeers {
 public:
  // Questions end in calls of the socket's on_connection_event() and lookup_timed_out().
  DatagramPeers(Socket& socket, Link& link, DatagramReceiver& receiver, uint32_t most);
  ~DatagramPeers();
  DatagramPeers(const DatagramPeers&) = delete;
  DatagramPeers& operator=(const DatagramPeers&) = delete;

  // The socket's address and endpoint.
  void open(provider::Endpoint& endpoint, const InetAddress& local, uint32_t timeout_ms) noexcept;
  void close() noexcept;

  // That of an address, as it is now; NULL: there is none.
  DatagramPeer* find(const InetAddress& address) noexcept { return peers_.find(address); }
  const DatagramPeer* peek(const InetAddress& address) const noexcept {
    return peers_.peek(address);
  }
  // The same, and begins to ask if need be. 0; -EAGAIN: too many are asked for; or -errno.
  int look_up(const InetAddress& address, DatagramPeer*& peer) noexcept;
  // Its error, told once: it is forgotten.
  int take_error(const InetAddress& address, DatagramPeer& peer) noexcept;
  // It sends from another queue pair than before.
  void moved(const InetAddress& address) noexcept;
  // A send to it has failed.
  void forget(const InetAddress& address) noexcept;

  // Whether look_up() of one that is not here would not be -EAGAIN.
  bool may_ask() const noexcept {
    return questions_.size() < kMostQuestions && peers_.has_place(may_be_forgotten);
  }
  bool owns(uint64_t serial) const noexcept;
  // Of one of its questions. An address whose question has ended is what `then` is called with.
  template <typename Then>
  void on_event(provider::ConnectionEvent& event, Then then) noexcept {
    InetAddress address;
    if (take_event(event, address)) then(address);
  }
  // False: it has ended before.
  bool timed_out(uint64_t serial, InetAddress& address) noexcept;

 private:
  static constexpr size_t kMostQuestions = 64;

  struct Question {
    InetAddress address;
    std::unique_ptr<provider::Endpoint> endpoint;
    ControlThread::Timer limit{};
  };
  using Questions = std::list<Question>;

  static bool may_be_forgotten(const DatagramPeer& peer) noexcept {
    return !peer.asking && !peer.pinned && peer.waiting == 0;
  }
  bool take_event(provider::ConnectionEvent& event, InetAddress& address) noexcept;
  bool know_from_source(const InetAddress& address, DatagramPeer& peer) noexcept;
  void check(const InetAddress& address, DatagramPeer& peer, TimePoint now) noexcept;
  int ask(const InetAddress& address) noexcept;
  int begin(Question& question);
  void end(Questions::iterator question) noexcept;
  void answered(Question& question, std::unique_ptr<provider::Destination> to) noexcept;
  void failed(const InetAddress& address, int error) noexcept;

  Socket& socket_;
  Link& link_;
  DatagramReceiver& receiver_;
  provider::Endpoint* endpoint_ = nullptr;
  InetAddress local_;
  uint32_t timeout_ms_ = 0;
  LruTable<InetAddress, DatagramPeer> peers_;
  Questions questions_;
};

}  // namespace sio::internal
