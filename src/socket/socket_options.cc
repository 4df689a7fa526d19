// SPDX-License-Identifier: BSD-2-Clause
//
// sio_getsockopt and sio_setsockopt.
#include <cstring>

#include "socket/socket.h"

namespace sio::internal {
namespace {

template <typename T>
int put(const T& from, void* value, socklen_t* length) noexcept {
  *length = std::min<socklen_t>(*length, sizeof from);
  std::memcpy(value, &from, *length);
  return 0;
}

// A number of SOL_SIO: where it is kept and within what.
struct Number {
  uint32_t SocketOptions::*member;
  int least;
  int most;
  int multiple;
  bool before;  // settable before connect or listen only
};

bool find_number(int option, Number& number) noexcept {
  switch (option) {
    case SIO_SLOT_SIZE:
      number = {&SocketOptions::slot_size, wire::kMinSlotSize, wire::kMaxSlotSize, wire::kSlotAlign,
                true};
      return true;
    case SIO_RECV_SLOTS:
      number = {&SocketOptions::recv_slots, wire::kMinSlots, wire::kMaxSlots, 1, true};
      return true;
    case SIO_COPY_MAX:
      number = {&SocketOptions::copy_max, 0, static_cast<int>(kTrainBytes), 1, false};
      return true;
    case SIO_KEEPALIVE_MS:
      number = {&SocketOptions::keepalive_ms, 0, 86'400'000, 1, false};
      return true;
    case SIO_CONNECT_TIMEOUT:
      number = {&SocketOptions::connect_timeout_ms, 1, 600'000, 1, false};
      return true;
    case SIO_DATAGRAM_PEERS:
      number = {&SocketOptions::datagram_peers, 2, 65536, 1, true};
      return true;
    case SIO_SEND_QUOTA:
      number = {&SocketOptions::send_quota, 4, 4096, 1, true};
      return true;
    default:
      return false;
  }
}

}  // namespace

int Socket::get_option(int level, int option, void* value, socklen_t* length) {
  if (level == SOL_SOCKET) return get_socket_option(option, value, length);
  if (level != SOL_SIO) return -ENOPROTOOPT;
  Number number;
  if (find_number(option, number)) {
    return put(static_cast<int>(options_.*number.member), value, length);
  }
  const bool connected = knows_peer();
  switch (option) {
    case SIO_SPIN_US:
      return put(static_cast<int>(channel()->spin().limit().count() / 1000), value, length);
    case SIO_NODELAY:
      return put(options_.no_delay ? 1 : 0, value, length);
    case SIO_AREA:
      return put(receive_area_ != nullptr ? receive_area_->handle() : nullptr, value, length);
    case SIO_READY: {
      const int result = put(readiness(), value, length);
      connect_is_known();
      return result;
    }
    case SIO_INFO:
      return put(info(), value, length);
    case SIO_MAX_MESSAGE:
      if (is_datagram()) return put(largest_datagram(), value, length);
      return put(connected ? peer_.max_message : largest_message(), value, length);
    default:
      return -ENOPROTOOPT;
  }
}

int Socket::get_socket_option(int option, void* value, socklen_t* length) noexcept {
  switch (option) {
    case SO_ERROR:
      connect_is_known();
      return put(std::exchange(so_error_, 0), value, length);
    case SO_TYPE:
      return put(type_, value, length);
    case SO_DOMAIN:
      return put(domain_, value, length);
    case SO_PROTOCOL:
      return put(0, value, length);
    case SO_ACCEPTCONN:
      return put(phase_ == Phase::kListening ? 1 : 0, value, length);
    case SO_REUSEADDR:
      return put(options_.reuse_address ? 1 : 0, value, length);
    case SO_LINGER:
      return put(options_.on_close, value, length);
    default:
      return -ENOPROTOOPT;
  }
}

uint32_t Socket::readiness() const noexcept {
  if (is_datagram() && phase_ == Phase::kFresh) return EPOLLOUT;
  uint32_t bits = 0;
  if (readable()) bits |= EPOLLIN;
  if (phase_ == Phase::kOpen && !rare_.write_shut &&
      has_room_for(rare_.want_writable ? wanted_ : Wanted{}))
    bits |= EPOLLOUT;
  if (rare_.end_received) bits |= EPOLLRDHUP;
  if (phase_ == Phase::kEnded) bits |= EPOLLHUP;
  if (failure_ != 0 || so_error_ != 0) bits |= EPOLLERR;
  return bits;
}

void Socket::connect_is_known() noexcept {
  if (datagram_ != nullptr && datagram_->connecting) return;
  if (!channel()->hidden() || phase_ == Phase::kResolving || phase_ == Phase::kConnecting) return;
  rare_.connect_waits = false;
}

int Socket::set_option(int level, int option, const void* value, socklen_t length) {
  if (level == SOL_SOCKET && option == SO_LINGER) {
    linger wish;
    if (length != sizeof wish) return -EINVAL;
    std::memcpy(&wish, value, sizeof wish);
    if (wish.l_linger < 0 || wish.l_linger > 3600) return -EINVAL;
    options_.on_close = wish;
    return 0;
  }
  Number number;
  const bool reuse = level == SOL_SOCKET && option == SO_REUSEADDR;
  const bool ours = level == SOL_SIO &&
                    (option == SIO_NODELAY || option == SIO_SPIN_US || find_number(option, number));
  if (!reuse && !ours) return -ENOPROTOOPT;
  int wish;
  if (length != sizeof wish) return -EINVAL;
  std::memcpy(&wish, value, sizeof wish);
  if (ours) return set_number(option, wish);
  options_.reuse_address = wish != 0;
  return 0;
}

int Socket::set_number(int option, int value) {
  if (option == SIO_NODELAY) {
    options_.no_delay = value != 0;
    return 0;
  }
  if (option == SIO_SPIN_US) {
    if (value < 0 || value > 1'000'000) return -EINVAL;
    options_.spin_us = static_cast<uint32_t>(value);
    channel()->spin().set_limit(microseconds(value));
    return 0;
  }
  Number number;
  if (!find_number(option, number)) return -ENOPROTOOPT;
  if (value < number.least || value > number.most || value % number.multiple != 0) return -EINVAL;
  std::optional<Unopened> unopened;
  if (number.before) unopened.emplace(*this);
  if (number.before && phase_ != Phase::kFresh) return -EISCONN;
  options_.*number.member = static_cast<uint32_t>(value);
  if (sender_ == nullptr || phase_ != Phase::kOpen) return 0;
  if (option == SIO_KEEPALIVE_MS) start_keepalive();
  if (option == SIO_COPY_MAX) sender_->set_copy_max(options_.copy_max);
  return 0;
}

}  // namespace sio::internal
