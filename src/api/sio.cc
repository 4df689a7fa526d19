// SPDX-License-Identifier: BSD-2-Clause
#include <netinet/in.h>
#include <sio/sio.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <span>

#include "api/boundary.h"
#include "socket/plain_send.h"
#include "socket/socket_guard.h"
#include "stats/publisher.h"

using namespace sio::internal;

namespace {

constexpr int kReceiveFlags = MSG_DONTWAIT | MSG_PEEK;

void copy_address(const sockaddr_storage& from, sockaddr* to, socklen_t* length) noexcept {
  if (to == nullptr || length == nullptr) return;
  const socklen_t size = from.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  std::memcpy(to, &from, std::min(*length, size));
  *length = size;
}

// No descriptor, and not -1 either, which a program may give by mistake.
constexpr ec_t kListenersChannel = -2;

int accept(int sock, sockaddr* addr, socklen_t* addrlen, int flags, ec_t ec, void* cookie) {
  return call([&] {
    if (!SocketGuard::of(sock)) return -EBADF;
    if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0) return -EINVAL;
    if (addr != nullptr && addrlen == nullptr) return -EINVAL;
    if (ec != kListenersChannel && !ChannelGuard::of(ec)) return -EBADF;
    Socket::AcceptOptions wish;
    wish.nonblock = (flags & SOCK_NONBLOCK) != 0;
    wish.ec = ec;
    wish.cookie = cookie;
    sockaddr_storage peer{};
    const int fd = Socket::accept(sock, wish, peer);
    if (fd >= 0) copy_address(peer, addr, addrlen);
    return fd;
  });
}

[[gnu::noinline]] int send_or_wait(int sock, const void* buf, size_t size, int flags) {
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    if (!socket) return -EBADF;
    if ((flags & ~kSendFlags) != 0) return -EINVAL;
    if (buf == nullptr && size > 0) return -EINVAL;
    return Socket::send(socket, buf, size, flags);
  });
}

[[gnu::noinline]] int send_less_plainly(Socket* socket, Channel* locked, int sock, const void* buf,
                                        size_t size, int flags) {
  const bool sent = socket->send_nearly_plain(locked, sock, buf, size, flags);
  return sent ? 0 : send_or_wait(sock, buf, size, flags);
}

int name_of(int sock, bool peer, sockaddr* addr, socklen_t* addrlen) {
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    if (!socket) return -EBADF;
    if (addr == nullptr || addrlen == nullptr) return -EINVAL;
    return socket->name(peer, addr, addrlen);
  });
}

}  // namespace

int sio_socket(int domain, int type, int protocol) {
  return call([&] {
    const int flags = type & (SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (domain != AF_INET && domain != AF_INET6) return -EAFNOSUPPORT;
    if (((type & ~flags) & ~0xf) != 0) return -EINVAL;
    const int kind = type & ~flags;
    if (kind != SOCK_SEQPACKET && kind != SOCK_STREAM && kind != SOCK_DGRAM) {
      return -ESOCKTNOSUPPORT;
    }
    if (protocol != 0) return -EPROTONOSUPPORT;
    stats::keep_figures();
    return Socket::create(domain, kind, (flags & SOCK_NONBLOCK) != 0);
  });
}

int sio_bind(int sock, const struct sockaddr* addr, socklen_t addrlen) {
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    if (!socket) return -EBADF;
    if (const int error = check_address(addr, addrlen)) return error;
    return socket->bind(addr);
  });
}

int sio_listen(int sock, int backlog) {
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    return socket ? socket->listen(backlog) : -EBADF;
  });
}

int sio_accept(int sock, struct sockaddr* addr, socklen_t* addrlen) {
  return accept(sock, addr, addrlen, 0, kListenersChannel, nullptr);
}

int sio_accept4(int sock, struct sockaddr* addr, socklen_t* addrlen, int flags) {
  return accept(sock, addr, addrlen, flags, kListenersChannel, nullptr);
}

int sio_accept_ec(int sock, struct sockaddr* addr, socklen_t* addrlen, int flags, ec_t ec,
                  void* cookie) {
  return accept(sock, addr, addrlen, flags, ec < 0 ? -1 : ec, cookie);
}

int sio_connect(int sock, const struct sockaddr* addr, socklen_t addrlen) {
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    if (!socket) return -EBADF;
    const bool dissolves = addr != nullptr && addrlen >= sizeof(sa_family_t) &&
                           addr->sa_family == AF_UNSPEC && socket->is_datagram();
    if (dissolves) return socket->dissolve_datagram();
    if (const int error = check_address(addr, addrlen)) return error;
    return Socket::connect(socket, addr);
  });
}

int sio_shutdown(int sock, int how) {
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    if (!socket) return -EBADF;
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return -EINVAL;
    return socket->shutdown(how);
  });
}

int sio_close(int sock) {
  return call([&] { return Socket::close(sock); });
}

int sio_getsockname(int sock, struct sockaddr* addr, socklen_t* addrlen) {
  return name_of(sock, false, addr, addrlen);
}

int sio_getpeername(int sock, struct sockaddr* addr, socklen_t* addrlen) {
  return name_of(sock, true, addr, addrlen);
}

int sio_getsockopt(int sock, int level, int option, void* value, socklen_t* len) {
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    if (!socket) return -EBADF;
    if (value == nullptr || len == nullptr) return -EINVAL;
    return socket->get_option(level, option, value, len);
  });
}

int sio_setsockopt(int sock, int level, int option, const void* value, socklen_t len) {
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    if (!socket) return -EBADF;
    if (value == nullptr) return -EINVAL;
    if (level == IPPROTO_IP || level == IPPROTO_IPV6) {
      return Socket::set_membership(socket, level, option, value, len);
    }
    return socket->set_option(level, option, value, len);
  });
}

int sio_nonblock(int sock, int on) {
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    if (!socket) return -EBADF;
    return on >= -1 && on <= 1 ? socket->set_nonblock(on) : -EINVAL;
  });
}

[[gnu::hot]] int sio_send(int sock, const void* buf, size_t size, int flags) {
  // In a forked child there is no such socket.
  return Socket::send_plain(sock, buf, size, flags, [=](Socket* socket, Channel* locked) {
    return socket == nullptr ? send_or_wait(sock, buf, size, flags)
                             : send_less_plainly(socket, locked, sock, buf, size, flags);
  });
}

int sio_sendto(int sock, const void* buf, size_t size, int flags, const struct sockaddr* to,
               socklen_t tolen) {
  if (to == nullptr && tolen == 0) return sio_send(sock, buf, size, flags);
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    if (!socket) return -EBADF;
    if (!socket->is_datagram()) return -EISCONN;
    if ((flags & ~kSendFlags) != 0) return -EINVAL;
    if (buf == nullptr && size > 0) return -EINVAL;
    if (const int error = check_address(to, tolen)) return error;
    const iovec whole{const_cast<void*>(buf), size};
    return Socket::send_datagram(socket, InetAddress(to), {&whole, 1}, flags, nullptr);
  });
}

int sio_sendmsg(int sock, const void* buf, size_t size, int flags) {
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    if (!socket) return -EBADF;
    if ((flags & ~kSendFlags) != 0 || buf == nullptr || size != sizeof(msghdr)) return -EINVAL;
    const auto& message = *static_cast<const msghdr*>(buf);
    InetAddress to;
    if (message.msg_name != nullptr) {
      if (!socket->is_datagram()) return -EISCONN;
      const auto* const name = static_cast<const sockaddr*>(message.msg_name);
      if (const int error = check_address(name, message.msg_namelen)) return error;
      to = InetAddress(name);
    }
    if (message.msg_controllen > 0) return -EINVAL;
    if (message.msg_iovlen > IOV_MAX) return -EMSGSIZE;
    const std::span pieces(message.msg_iov, message.msg_iovlen);
    const auto is_nowhere = [](const iovec& one) { return !one.iov_base && one.iov_len > 0; };
    if (message.msg_iov == nullptr && message.msg_iovlen > 0) return -EINVAL;
    if (std::any_of(pieces.begin(), pieces.end(), is_nowhere)) return -EINVAL;
    if (to.is_set()) return Socket::send_datagram(socket, to, pieces, flags, nullptr);
    return Socket::send_pieces(socket, pieces, flags);
  });
}

int sio_recv(int sock, void** buf, size_t size, int flags) {
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    if (!socket) return -EBADF;
    if (buf == nullptr || (flags & ~kReceiveFlags) != 0) return -EINVAL;
    return Socket::receive(socket, buf, size, flags);
  });
}

int sio_recvfrom(int sock, const void** buf, size_t size, int flags, struct sockaddr* to,
                 socklen_t tolen) {
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    if (!socket) return -EBADF;
    if (buf == nullptr || (flags & ~kReceiveFlags) != 0) return -EINVAL;
    if (to == nullptr && tolen > 0) return -EINVAL;
    void* data = nullptr;
    const int result = Socket::receive(socket, &data, size, flags);
    if (result < 0) return result;
    *buf = data;
    if (to != nullptr) socket->sender_name(to, &tolen);
    return result;
  });
}

int sio_recvmsg(int sock, const void** buf, size_t size, int flags) {
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    if (!socket) return -EBADF;
    if (buf == nullptr || *buf == nullptr || size != sizeof(msghdr)) return -EINVAL;
    auto& message = *static_cast<msghdr*>(const_cast<void*>(*buf));
    if (message.msg_iov == nullptr || message.msg_iovlen == 0) return -EINVAL;
    if ((flags & ~kReceiveFlags) != 0) return -EINVAL;
    return Socket::receive_pieces(socket, message, flags);
  });
}

int sio_flush(int sock, struct timespec* tout) {
  return call([&] {
    TimePoint deadline;
    if (!deadline_after(tout, deadline)) return -EINVAL;
    SocketGuard socket = SocketGuard::of(sock);
    return socket ? Socket::flush(socket, deadline) : -EBADF;
  });
}
