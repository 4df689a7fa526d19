// SPDX-License-Identifier: BSD-2-Clause
//
// What a socket says of itself: SIO_INFO, and the figures that sio_stat shows.
#include <algorithm>
#include <cstring>
#include <mutex>

#include "socket/socket.h"

namespace sio::internal {
namespace {

stats::Name name_of(const InetAddress& address) noexcept {
  stats::Name name{};
  const sockaddr_storage storage = address.to_storage();
  name.family = static_cast<uint16_t>(address.family());
  name.port = address.port();
  name.scope = address.scope();
  if (address.family() == AF_INET) {
    std::memcpy(name.ip, &reinterpret_cast<const sockaddr_in&>(storage).sin_addr, 4);
  } else if (address.family() == AF_INET6) {
    std::memcpy(name.ip, &reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr, 16);
  }
  return name;
}

// What describe_port() says.
void copy_port(const sio_info& from, sio_info& to) noexcept {
  std::memcpy(to.device, from.device, sizeof to.device);
  std::memcpy(to.gid, from.gid, sizeof to.gid);
  to.port = from.port;
  to.gid_index = from.gid_index;
  to.mtu = from.mtu;
  to.qp_num = from.qp_num;
  to.max_inline = from.max_inline;
}

uint64_t now_ns() noexcept {
  return static_cast<uint64_t>(nanoseconds(Clock::now().time_since_epoch()).count());
}

// Who polls has the lock nearly always, and whoever sleeps until it is free costs that thread a
// system call each time, and mostly finds it taken again. A moment between two calls is soon found.
bool lock_briefly(Mutex& mutex) noexcept {
  constexpr microseconds kPatience{20};
  const TimePoint end = Clock::now() + kPatience;
  while (!mutex.try_lock()) {
    if (Clock::now() >= end) return false;
  }
  return true;
}

}  // namespace

void Socket::describe_port(sio_info& info) const {
  if (endpoint_ == nullptr || link_.queue_pair == nullptr) return;
  const provider::PortInfo port = endpoint_->port_info();
  std::strncpy(info.device, port.device.c_str(), sizeof info.device - 1);
  std::strncpy(info.gid, port.gid.c_str(), sizeof info.gid - 1);
  info.port = port.port;
  info.gid_index = port.gid_index;
  info.mtu = port.mtu;
  info.qp_num = link_.queue_pair->number();
  info.max_inline = link_.queue_pair->max_inline();
}

void Socket::describe_traffic(sio_info& info) const noexcept {
  if (datagram_ != nullptr) info.sends_in_flight = datagram_->sender.in_flight();
  if (sender_ != nullptr && sender_->opened()) {
    info.credits = sender_->credits();
    info.sends_in_flight = sender_->in_flight();
  }
}

sio_info Socket::info() const {
  sio_info info = link_.info;
  describe_port(info);
  describe_traffic(info);
  return info;
}

stats::State Socket::state() const noexcept {
  using stats::State;
  switch (phase_) {
    case Phase::kFresh:
      return State::kNew;
    case Phase::kListening:
      return State::kListening;
    case Phase::kResolving:
    case Phase::kConnecting:
      return State::kConnecting;
    case Phase::kAccepting:
      return closing_ ? State::kClosing : State::kAccepting;
    case Phase::kOpen:
      return closing_ ? State::kClosing : State::kOpen;
    case Phase::kEnding:
      return State::kEnding;
    case Phase::kEnded:
      return State::kEnded;
  }
  return State::kNone;
}

InetAddress Socket::peer_name() const noexcept {
  if (is_datagram())
    return datagram_ != nullptr && datagram_->connected() ? datagram_->peer : InetAddress();
  const bool connecting = phase_ == Phase::kResolving || phase_ == Phase::kConnecting;
  return InetAddress(connecting ? connect_to_ : peer_address_);
}

void Socket::report_directions(stats::SocketFigures& figures) const noexcept {
  if (sender_ != nullptr) figures.unsent = sender_->unsent();
  if (lane_ != nullptr) figures.bulk_in_flight = lane_->sender.not_done();
  if (receiver_ != nullptr) {
    figures.slots_free = link_.peer_credits;
    figures.slots_held = receiver_->receives().held();
  }
  if (datagram_ != nullptr) {
    figures.unsent = static_cast<uint32_t>(datagram_->waiting.size());
    figures.slots_free = datagram_->receiver.posted();
    figures.slots_held = datagram_->receiver.region()->held();
  }
}

// That takes system calls to ask for, and stays as it is for as long as the queue pair does.
bool Socket::knows_port(const stats::SocketFigures& figures) const noexcept {
  return figures.generation == generation() && link_.queue_pair != nullptr &&
         figures.info.qp_num == link_.queue_pair->number();
}

Socket::Reported Socket::report(stats::SocketFigures& figures) const {
  Channel* const in = channel();
  if (in == nullptr) return Reported::kUnused;
  // To look changes nothing in the channel, so nobody need hear that it was locked.
  if (!lock_briefly(in->mutex())) return Reported::kBusy;
  const std::lock_guard lock(in->mutex(), std::adopt_lock);
  if (channel() != in) return Reported::kBusy;  // on its way to another
  stats::SocketFigures now{};
  now.generation = generation();
  now.time_ns = now_ns();
  now.fd = rare_.closed ? -1 : fd_;
  now.channel = in->hidden() ? -1 : in->fd();
  now.type = type_;
  now.state = state();
  if (endpoint_ != nullptr) {
    now.local = name_of(is_datagram() ? datagram_name() : InetAddress(endpoint_->local_address()));
  }
  now.peer = name_of(peer_name());
  report_directions(now);
  now.info = link_.info;
  knows_port(figures) ? copy_port(figures.info, now.info) : describe_port(now.info);
  describe_traffic(now.info);
  figures = now;
  return Reported::kReported;
}

}  // namespace sio::internal
