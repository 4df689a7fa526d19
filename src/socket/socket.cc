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
#include "socket/socket_guard.h"
#include "socket/socket_pool.h"

namespace sio::internal {
namespace {

// Cut to what there is room for; the length is that of the whole.
void put_name(const sockaddr_storage& name, sockaddr* address, socklen_t* length) noexcept {
  const socklen_t size = name.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  std::memcpy(address, &name, std::min(*length, size));
  *length = size;
}

}  // namespace

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
    if (socket->is_still(fd, channel)) return guard;
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

Socket* Socket::make(int domain, int type, bool nonblock, const SocketOptions& options) {
  Socket* socket = socket_pool().take();
  // Release: pairs with generation(); whoever sees the new one sees the state made anew.
  static_cast<SocketState&>(*socket) = SocketState{};
  socket->domain_ = domain;
  socket->type_ = type;
  socket->rare_.datagram = type == SOCK_DGRAM;
  socket->nonblock_ = nonblock;
  socket->options_ = options;
  socket->generation_.fetch_add(1, std::memory_order_release);
  return socket;
}

int Socket::create(int domain, int type, bool nonblock) {
  OwnFd epoll(check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
  const int fd = epoll.get();
  Socket* socket = make(domain, type, nonblock, SocketOptions{});
  try {
    ChannelOptions options;
    options.hidden = socket;
    Channel* hidden = Channel::open(std::move(epoll), options);
    ChannelGuard guard(hidden);
    socket->fd_ = fd;
    try {
      DescriptorTable::instance().set(fd, socket);
    } catch (...) {
      hidden->close();
      throw;
    }
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

// Two channels are concerned, of which no thread may hold both locks: in between the socket is in
// none, and whoever else calls it waits (SocketGuard::of). The channel that it is to come to can
// not go meanwhile: the socket counts as attached there.
int Socket::move_to_channel(int fd, ec_t ec, uint32_t events, void* cookie) {
  Channel* to;
  {
    ChannelGuard guard = ChannelGuard::of(ec);
    if (!guard) return -EBADF;
    guard->attach();
    to = guard.get();
  }
  Socket* socket = nullptr;
  const int result = leave_hidden(fd, ec, socket);
  const ChannelGuard guard(to);
  guard->detach();
  if (result != 0) return result;
  socket->set_deliver((events & EC_DELIVER) != 0);
  socket->cookie_ = cookie;
  socket->enter(*to);
  socket->reopen_datagram();
  return 0;
}

// The hidden channel ends; its descriptor stays as the socket's.
int Socket::leave_hidden(int fd, ec_t wish, Socket*& socket) {
  SocketGuard guard = SocketGuard::of(fd);
  if (!guard) return -EBADF;
  if (!guard.channel()->hidden()) return guard.channel()->fd() == wish ? -EEXIST : -EISCONN;
  if (guard->waiting_ == 0) guard->unopen_datagram();
  // A thread that waits there has not heard yet that its connect failed.
  if (guard->phase_ != Phase::kFresh || guard->waiting_ > 0) return -EISCONN;
  socket = &*guard;
  socket->rare_.connect_waits = false;  // it was to be asked how that ended; now events tell
  socket->shared_.reset();              // that of this channel
  guard.channel()->detach();
  socket->placeholder_ = guard.channel()->close_and_keep_descriptor();
  socket->channel_.store(nullptr, std::memory_order_release);
  return 0;
}

// The descriptor becomes an epoll set of a channel again.
void Socket::enter_hidden(Channel& hidden) noexcept {
  const ChannelGuard guard(&hidden);
  set_deliver(false);
  cookie_ = nullptr;
  enter(hidden);
  reopen_datagram();
}

int Socket::move_out(int fd, ec_t ec) {
  Socket* socket;
  Channel* hidden;
  {
    const ChannelGuard from = ChannelGuard::of(ec);
    if (!from) return -EBADF;
    socket = DescriptorTable::instance().socket(fd);
    if (socket == nullptr || socket->channel() != from.get()) return -ENOENT;
    if (socket->waiting_ == 0) socket->unopen_datagram();
    if (socket->phase_ != Phase::kFresh || socket->waiting_ > 0) return -EISCONN;
    hidden = socket->open_hidden();
    from->ring().drop(socket, [](const EventNote&) { return true; });
    from->forget(socket);
    socket->outcomes_.drop();  // of a connect that failed; nobody will take their events
    socket->rare_.connect_waits = false;
    socket->shared_.reset();  // that of this channel
    socket->channel_.store(nullptr, std::memory_order_release);
    from->detach();
  }
  socket->enter_hidden(*hidden);
  return 0;
}

// A channel that nobody knows yet, so that its lock is nobody's. When there is none the socket is
// as it was.
Channel* Socket::open_hidden() {
  ChannelOptions options;
  options.hidden = this;
  try {
    return Channel::open(std::move(placeholder_), options);
  } catch (...) {
    reopen_datagram();
    throw;
  }
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
  if (is_datagram()) {
    if (peer && (datagram_ == nullptr || !datagram_->connected())) return -ENOTCONN;
    put_name((peer ? datagram_->peer : datagram_name()).to_storage(), address, length);
    return 0;
  }
  if (peer && phase_ != Phase::kOpen && phase_ != Phase::kAccepting) return -ENOTCONN;
  if (endpoint_ != nullptr) {
    full = peer ? endpoint_->peer_address() : endpoint_->local_address();
  }
  if (full.ss_family == AF_UNSPEC) full.ss_family = static_cast<sa_family_t>(domain_);
  put_name(full, address, length);
  return 0;
}

void Socket::sender_name(sockaddr* address, socklen_t* length) const noexcept {
  put_name(peer_address_, address, length);
}

}  // namespace sio::internal
