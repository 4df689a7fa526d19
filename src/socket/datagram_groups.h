// SPDX-License-Identifier: BSD-2-Clause
//
// The multicast groups that a datagram socket gets datagrams of. Used under the channel's lock.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/inet_address.h"
#include "provider/provider.h"

namespace sio::internal {

class Socket;

class DatagramGroups {
 public:
  static constexpr size_t kMost = 20;  // as Linux has it

  DatagramGroups() = default;
  ~DatagramGroups() { clear(); }
  DatagramGroups(const DatagramGroups&) = delete;
  DatagramGroups& operator=(const DatagramGroups&) = delete;

  // Leaves all, before the queue pair goes.
  void clear() noexcept;
  // Before the first. `local`: the socket's address.
  void open(provider::QueuePair& pair, const InetAddress& local) noexcept {
    pair_ = &pair;
    local_ = local;
  }

  // Another one takes its place.
  void detach_all() noexcept;
  void attach_all(provider::QueuePair& pair) noexcept;

  // Begins to join: -EADDRINUSE when it is a member or about to be one, -ENOBUFS when of too many.
  // Its end comes by an event, for on_event.
  int join(Socket& socket, const InetAddress& group);
  bool owns(uint64_t serial) const noexcept;
  void on_event(provider::ConnectionEvent& event) noexcept;
  // 0: a member; -EINPROGRESS; or why not.
  int outcome(const InetAddress& group) noexcept;
  // -EADDRNOTAVAIL: no member.
  int leave(const InetAddress& group) noexcept;

  bool has(const InetAddress& group) const noexcept;
  bool empty() const noexcept { return groups_.empty(); }

 private:
  struct Group {
    InetAddress address;
    std::unique_ptr<provider::Endpoint> endpoint;
    std::unique_ptr<provider::Destination> destination;  // once it is joined
    int error = EINPROGRESS;
  };

  Group* find(const InetAddress& group) noexcept;

  provider::QueuePair* pair_ = nullptr;  // NULL: it has gone
  InetAddress local_;
  std::vector<Group> groups_;
};

}  // namespace sio::internal
