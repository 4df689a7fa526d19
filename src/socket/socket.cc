// SPDX-License-Identifier: BSD-2-Clause
//
// A socket's life, its locks, and the channel that it is in.
#include "socket/socket.h"

#include <netinet/in.h>
#include <sys/epoll.h>

#include <cstring>
#include <thread>

#include "base/error.h"
#include "base/stable_pool.h"
#include "event/descriptor_table.h"
#include "socket/socket_pool.h"

namespace sio::internal {

StablePool<Socket>& socket_pool() {
  static auto* const sockets = new StablePool<Socket>;
  return *sockets;
}

// ------------------------------------------------------------------------------------ locks

SocketGuard SocketGuard::of(int fd) {
  for (;;) {
    Socket* socket = DescriptorTable::instance().socket(fd);
    if (socket == nullptr) return {};
    Channel* channel = socket->channel();
    if (channel == nullptr) {  // on its way to another, or being closed: the table will say
      std::this_thread::yield();
      continue;
    }
    SocketGuard guard(socket, channel);
    // While it is in a channel that we have locked the number stays its own.
    if (socket->channel() == channel && socket->fd_ == fd && !socket->closed_) return guard;
  }
}

SocketGuard SocketGuard::of(Socket* socket, uint64_t generation) {
  for (;;) {
    Channel* channel = socket->channel();
    if (channel == nullptr || socket->generation() != generation) return {};
    SocketGuard guard(socket, channel);
    if (socket->channel() != channel) continue;
    if (socket->generation() != generation) return {};
    return guard;
  }
}

// ------------------------------------------------------------------------------------- life

Socket* Socket::make(int domain, bool nonblock, const SocketOptions& options) {
  Socket* socket = socket_pool().take();
  // Release: pairs with generation(); whoever sees the new one sees the state made anew.
  static_cast<SocketState&>(*socket) = SocketState{};
  socket->domain_ = domain;
  socket->nonblock_ = nonblock;
  socket->options_ = options;
  socket->generation_.fetch_add(1, std::memory_order_release);
  return socket;
}

int Socket::create(int domain, bool nonblock) {
  OwnFd epoll(check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
  const int fd = epoll.get();
  Socket* socket = make(domain, nonblock, SocketOptions{});
  try {
    ChannelOptions options;
    options.hidden = socket;
    Channel* hidden = Channel::open(std::move(epoll), options);
    ChannelGuard guard(hidden);
    socket->fd_ = fd;
    DescriptorTable::instance().set(fd, socket);
    socket->enter(*hidden);
  } catch (...) {
    socket_pool().give_back(socket);
    throw;
  }
  return fd;
}

void Socket::enter(Channel& channel) noexcept {
  channel.attach();
  if (channel.hidden()) channel.spin().set_limit(microseconds(options_.spin_us));
  channel_.store(&channel, std::memory_order_release);  // all above is seen by who locks it next
}

// ------------------------------------------------------------------------- in and out of channels

// Under the hidden channel's lock. The channel ends; its descriptor stays as the socket's.
OwnFd Socket::leave_hidden(Socket& socket, ChannelGuard& guard) {
  guard->detach();
  OwnFd descriptor = guard->close_and_keep_descriptor();
  socket.channel_.store(nullptr, std::memory_order_release);
  return descriptor;
}

// Two channels are concerned, and two locks are never held at once: in between the socket is in
// none, and whoever else calls it waits (SocketGuard::of).
int Socket::move_to_channel(int fd, ec_t ec, uint32_t events, void* cookie) {
  Socket* socket;
  {
    SocketGuard guard = SocketGuard::of(fd);
    if (!guard) return -EBADF;
    if (!guard.channel()->hidden()) return guard.channel()->fd() == ec ? -EEXIST : -EISCONN;
    if (guard->phase_ != Phase::kFresh) return -EISCONN;
    socket = &*guard;
    socket->placeholder_ = leave_hidden(*socket, guard.channel());
  }
  ChannelGuard to = ChannelGuard::of(ec);
  if (!to) {
    socket->enter_hidden();
    return -EBADF;
  }
  socket->deliver_ = (events & EC_DELIVER) != 0;
  socket->cookie_ = cookie;
  socket->enter(*to);
  return 0;
}

// The descriptor becomes an epoll set of a channel again.
void Socket::enter_hidden() {
  ChannelOptions options;
  options.hidden = this;
  Channel* hidden = Channel::open(std::move(placeholder_), options);
  ChannelGuard guard(hidden);
  enter(*hidden);
}

int Socket::move_out(int fd, Channel& from) {
  Socket* socket = DescriptorTable::instance().socket(fd);
  if (socket == nullptr || socket->channel() != &from) return -ENOENT;
  if (socket->phase_ != Phase::kFresh) return -EISCONN;
  from.detach();
  socket->deliver_ = false;
  socket->cookie_ = nullptr;
  socket->enter_hidden();
  return 0;
}

int Socket::set_cookie(int fd, Channel& in, uint32_t events, void* cookie) {
  Socket* socket = DescriptorTable::instance().socket(fd);
  if (socket == nullptr || socket->channel() != &in) return -ENOENT;
  if (((events & EC_DELIVER) != 0) != socket->deliver_) return -EINVAL;
  socket->cookie_ = cookie;
  return 0;
}

// ------------------------------------------------------------------------------------ names

int Socket::set_nonblock(int on) noexcept {
  const int before = nonblock_ ? 1 : 0;
  if (on >= 0) nonblock_ = on != 0;
  return before;
}

int Socket::name(bool peer, sockaddr* address, socklen_t* length) const noexcept {
  sockaddr_storage full{};
  if (peer && phase_ != Phase::kOpen && phase_ != Phase::kAccepting) return -ENOTCONN;
  if (endpoint_ != nullptr) {
    full = peer ? endpoint_->peer_address() : endpoint_->local_address();
  }
  if (full.ss_family == AF_UNSPEC) full.ss_family = static_cast<sa_family_t>(domain_);
  const socklen_t size = full.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  std::memcpy(address, &full, std::min(*length, size));
  *length = size;
  return 0;
}

}  // namespace sio::internal
