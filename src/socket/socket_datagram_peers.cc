// SPDX-License-Identifier: BSD-2-Clause
//
// Whom a datagram socket is connected to, what the connection manager tells it, and its groups.
#include <netinet/in.h>

#include <cstring>

#include "base/local_addresses.h"
#include "base/log.h"
#include "socket/socket_guard.h"

namespace sio::internal {

using provider::ConnectionEvent;

// --------------------------------------------------------------------------------------- connect

int Socket::connect_datagram(SocketGuard& guard, const InetAddress& to) {
  Socket& socket = *guard;
  if (to.port() == 0) return -EINVAL;
  if (socket.phase_ == Phase::kEnding || socket.phase_ == Phase::kEnded) return -EPIPE;
  if (const int error = socket.ensure_datagram(to)) return error;
  if (socket.datagram_->connecting || socket.connect_end_is_untold()) return -EALREADY;
  socket.dissolve_datagram();
  Datagram& it = *socket.datagram_;
  DatagramPeer* peer = nullptr;
  if (const int error = it.peers.look_up(to, peer)) return error == -EAGAIN ? -ENOBUFS : error;
  if (peer->state == DatagramPeer::State::kFailed) {
    return -it.peers.take_error(to, *peer);
  }
  peer->pinned = true;
  it.peer = to;
  it.connecting = true;
  socket.so_error_ = socket.connect_error_ = 0;
  if (peer->state == DatagramPeer::State::kKnown) {
    socket.datagram_connected(0);
    return 0;
  }
  if (socket.nonblock_) {
    socket.rare_.connect_waits = true;
    return -EINPROGRESS;
  }
  const int result = guard.wait(kNever, [&] {
    return socket.datagram_ == nullptr || !socket.datagram_->connecting ||
           socket.phase_ != Phase::kOpen;
  });
  if (result == -EINTR) socket.rare_.connect_waits = true;
  if (result != 0) return result;
  socket.so_error_ = 0;
  return -socket.connect_error_;
}

void Socket::datagram_connected(int error) noexcept {
  Datagram& it = *datagram_;
  it.connecting = false;
  connect_error_ = so_error_ = error;
  if (error == 0) {
    it.receiver.accept_only(it.peer);
  } else {
    dissolve_datagram();
  }
  channel()->changed();
  if (rare_.connect_waits) channel()->offer(this);
}

// Connected to nobody. A connect that is under way ends with that.
int Socket::dissolve_datagram() noexcept {
  if (datagram_ == nullptr) return 0;
  if (datagram_->peer.is_set()) {
    DatagramPeer* const peer = datagram_->peers.find(datagram_->peer);
    if (peer != nullptr) peer->pinned = false;
  }
  datagram_->peer = {};
  datagram_->receiver.accept_only({});
  if (!std::exchange(datagram_->connecting, false)) return 0;
  connect_error_ = so_error_ = ECONNABORTED;
  channel()->changed();
  if (rare_.connect_waits) channel()->offer(this);
  return 0;
}

void Socket::on_datagram_event(ConnectionEvent& event) noexcept {
  if (endpoint_ != nullptr && endpoint_->serial() == event.endpoint) {
    const bool ends = event.kind == ConnectionEvent::Kind::kFailed ||
                      event.kind == ConnectionEvent::Kind::kDeviceGone;
    if (ends) begin_ending(event.error != 0 ? event.error : ENODEV, false);
  } else if (datagram_->groups.owns(event.endpoint)) {
    datagram_->groups.on_event(event);
  } else {
    datagram_->peers.on_event(event, [this](const InetAddress& address) { lookup_ended(address); });
  }
}

void Socket::lookup_timed_out(uint64_t serial) noexcept {
  if (datagram_ == nullptr) return;
  channel()->changed();
  InetAddress address;
  if (datagram_->peers.timed_out(serial, address)) lookup_ended(address);
}

void Socket::lookup_ended(const InetAddress& address) noexcept {
  if (datagram_->connecting && datagram_->peer == address) {
    const DatagramPeer* const peer = datagram_->peers.peek(address);
    const bool failed = peer == nullptr || peer->state == DatagramPeer::State::kFailed;
    const int error = peer == nullptr ? ENOMEM : peer->error;
    pump_waiting();
    // A post that was refused has ended the socket, and with it the connect.
    if (datagram_->connecting) datagram_connected(failed ? error : 0);
    if (failed) datagram_->peers.forget(address);
  }
  settle_datagram();
}

// ---------------------------------------------------------------------------------------- groups

namespace {

// What IP_ADD_MEMBERSHIP and the like were given: 0 or -errno.
int read_membership(int level, const void* value, socklen_t length, InetAddress& group,
                    InetAddress& interface, unsigned& index) noexcept {
  index = 0;
  if (level == IPPROTO_IPV6) {
    ipv6_mreq wish;
    if (length != sizeof wish) return -EINVAL;
    std::memcpy(&wish, value, sizeof wish);
    group = InetAddress::of_ipv6(&wish.ipv6mr_multiaddr);
    index = wish.ipv6mr_interface;
  } else {
    ip_mreqn wish{};
    if (length != sizeof(ip_mreq) && length != sizeof wish) return -EINVAL;
    std::memcpy(&wish, value, length);
    group = InetAddress::of_ipv4(&wish.imr_multiaddr);
    interface = InetAddress::of_ipv4(&wish.imr_address);
    if (interface.is_wildcard()) interface = {};
    index = static_cast<unsigned>(wish.imr_ifindex);
  }
  return group.is_group() ? 0 : -EINVAL;
}

}  // namespace

// IP_ADD_MEMBERSHIP and the like. Waits until it is a member, or is not.
int Socket::set_membership(SocketGuard& guard, int level, int option, const void* value,
                           socklen_t length) {
  Socket& socket = *guard;
  const bool joins = level == IPPROTO_IP ? option == IP_ADD_MEMBERSHIP : option == IPV6_JOIN_GROUP;
  const bool leaves =
      level == IPPROTO_IP ? option == IP_DROP_MEMBERSHIP : option == IPV6_LEAVE_GROUP;
  const bool ours = (level == IPPROTO_IP) == (socket.domain_ == AF_INET);
  if (!socket.is_datagram() || !ours || (!joins && !leaves)) return -ENOPROTOOPT;
  InetAddress group;
  InetAddress interface;
  unsigned index;
  if (const int error = read_membership(level, value, length, group, interface, index))
    return error;
  if (socket.phase_ == Phase::kEnding || socket.phase_ == Phase::kEnded) return -EPIPE;
  if (leaves) {
    socket.channel()->changed();  // somebody may be waiting to be a member
    return socket.datagram_ == nullptr ? -EADDRNOTAVAIL : socket.datagram_->groups.leave(group);
  }
  if (!socket.bound_ && interface.is_set()) {
    if (const int error = socket.bind_datagram(interface, {})) return error;
  }
  if (const int error = socket.ensure_datagram(group)) return error;
  Datagram& it = *socket.datagram_;
  // A socket is on one interface.
  if (!it.source.is_wildcard() && interface.is_set() && interface != it.source.with_port(0))
    return -EADDRNOTAVAIL;
  if (!it.source.is_wildcard() && index != 0 && !interface_has(index, it.source)) return -ENODEV;
  if (const int error = it.groups.join(socket, group)) return error;
  // Others may leave the group meanwhile, and then give the socket other memory: it is made anew.
  const auto outcome = [&] {
    return socket.datagram_ != nullptr ? socket.datagram_->groups.outcome(group) : -EADDRNOTAVAIL;
  };
  const auto ended = [&] { return socket.phase_ != Phase::kOpen || outcome() != -EINPROGRESS; };
  const TimePoint limit = Clock::now() + milliseconds(socket.options_.connect_timeout_ms);
  int result;
  do {
    result = guard.wait(limit, ended);
  } while (result == -EINTR);
  if (result == -EBADF || socket.phase_ != Phase::kOpen) return -EBADF;
  if (result == 0) result = outcome();
  if (result != 0) socket.datagram_->groups.leave(group);
  return result;
}

}  // namespace sio::internal
