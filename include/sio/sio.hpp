// SPDX-License-Identifier: BSD-2-Clause
//
// libsio for C++20: the calls of <sio/dma.h>, <sio/ec.h> and <sio/sio.h> with owners. All of it is
// inline over these calls, so their conventions hold, and what is said there of ownership, threads
// and errors is not said again here. Requests (<sio/aio.h>) and sio_set_log have no class here: the
// calls of C take handle() and descriptor().
//
// 1. Area, Buffer (dma.hpp), Channel (ec.hpp) and Socket own what their names say, can be moved and
//    not copied, and end it when they go; who wants to know how that went ends it by hand before.
//    An empty one owns nothing: so is what was made without arguments (Channel channel;), and what
//    was moved from.
// 2. What sets something up throws std::system_error with the errno.
// 3. The data path is noexcept. Back-pressure and what a connection meets with are values (Status).
// 4. A Buffer is memory that is the program's: to fill and send, or received. It is released when
//    it goes, unless it was given away, to a socket or by hand.
#ifndef SIO_SIO_HPP
#define SIO_SIO_HPP

#include <sio/ec.hpp>
#include <sio/sio.h>
#include <sys/uio.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace sio {

class Socket {
 public:
  // A message, or why there is none. The end of the stream: ok, and no buffer.
  struct Received {
    Status status;
    Buffer buffer;
  };
  // The same of one that stays the library's, to be read until it is taken.
  struct Peeked {
    Status status;
    std::span<const std::byte> bytes;
  };
  // The same of a message in pieces, of which each is the program's (Buffer takes it over). The end
  // of the stream: ok, and no pieces.
  struct ReceivedPieces {
    Status status;
    std::span<const iovec> pieces;
  };
  // The same of a datagram, with its sender.
  struct ReceivedFrom {
    Status status;
    Buffer buffer;
    sockaddr_storage from;
  };

  Socket() noexcept = default;
  explicit Socket(int domain, int type = SOCK_SEQPACKET)
      : fd_(detail::checked(sio_socket(domain, type, 0), "sio_socket")) {}
  // Takes over a socket of libsio.
  static Socket own(int fd) noexcept {
    Socket socket;
    socket.fd_ = fd;
    return socket;
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    Socket(std::move(other)).swap(*this);
    return *this;
  }
  ~Socket() { (void)close(); }

  explicit operator bool() const noexcept { return fd_ >= 0; }
  int descriptor() const noexcept { return fd_; }
  Status close() noexcept {
    if (fd_ < 0) return {};
    return detail::status(sio_close(std::exchange(fd_, -1)));
  }

  // Before connect or listen.
  Socket& join(const Channel& channel, uint32_t events = EC_DELIVER, void* cookie = nullptr) {
    channel.add(fd_, events, cookie);
    return *this;
  }
  Socket& associate(const Area& area, unsigned flags = 0) {
    return associate(area, area.size(), flags);
  }
  Socket& associate(const Area& area, size_t bytes, unsigned flags) {
    detail::checked(dma_assoc(fd_, area.handle(), bytes, flags), "dma_assoc");
    return *this;
  }
  // What associate() did, on a socket that is not connected. EBUSY: it is.
  Status disassociate(const Area& area) noexcept { return disassociate(area, area.size()); }
  Status disassociate(const Area& area, size_t bytes) noexcept {
    return detail::status(dma_disassoc(fd_, area.handle(), bytes));
  }
  template <typename Value>
  Socket& set(int option, const Value& value, int level = SOL_SIO) {
    detail::checked(sio_setsockopt(fd_, level, option, &value, sizeof value), "sio_setsockopt");
    return *this;
  }
  template <typename Value>
  Value get(int option, int level = SOL_SIO) const {
    Value value{};
    socklen_t size = sizeof value;
    detail::checked(sio_getsockopt(fd_, level, option, &value, &size), "sio_getsockopt");
    return value;
  }

  struct sio_info info() const {
    return get<struct sio_info>(SIO_INFO);
  }
  // EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR.
  uint32_t ready() const { return get<uint32_t>(SIO_READY); }
  // Why a connect or the connection failed, once.
  Status take_error() const { return Status(get<int>(SO_ERROR, SOL_SOCKET)); }
  // What it was before.
  bool set_nonblocking(bool on) const {
    return detail::checked(sio_nonblock(fd_, on ? 1 : 0), "sio_nonblock") != 0;
  }

  // Address: sockaddr_in, sockaddr_in6 or sockaddr_storage.
  template <typename Address>
  Socket& bind(const Address& address) {
    return bind(as_sockaddr(address), sizeof address);
  }
  Socket& bind(const sockaddr* address, socklen_t size) {
    detail::checked(sio_bind(fd_, address, size), "sio_bind");
    return *this;
  }
  Socket& listen(int backlog = 16) {
    detail::checked(sio_listen(fd_, backlog), "sio_listen");
    return *this;
  }
  // Of a non-blocking socket: EINPROGRESS is no error, the end comes as EC_CONNECT.
  template <typename Address>
  Socket& connect(const Address& address) {
    return connect(as_sockaddr(address), sizeof address);
  }
  Socket& connect(const sockaddr* address, socklen_t size) {
    const Status status = try_connect(address, size);
    if (!status && status.error() != EINPROGRESS)
      throw std::system_error(status.code(), "sio_connect");
    return *this;
  }
  // The same for who reckons with failures, and has them as values, EINPROGRESS among them.
  Status try_connect(const sockaddr* address, socklen_t size) noexcept {
    return detail::status(sio_connect(fd_, address, size));
  }
  // Empty: none waits (a listener that does not block). flags: SOCK_NONBLOCK.
  Socket accept(int flags = 0) const { return accepted(sio_accept4(fd_, nullptr, nullptr, flags)); }
  // Into another channel than the listener's.
  Socket accept(const Channel& channel, void* cookie = nullptr, int flags = 0) const {
    return accepted(sio_accept_ec(fd_, nullptr, nullptr, flags, channel.handle(), cookie));
  }
  sockaddr_storage name() const { return name_by(sio_getsockname, "sio_getsockname"); }
  sockaddr_storage peer_name() const { return name_by(sio_getpeername, "sio_getpeername"); }

  // Lends the bytes if they lie in an associated area; else copies them.
  Status send(std::span<const std::byte> bytes, int flags = 0) const noexcept {
    return detail::status(sio_send(fd_, bytes.data(), bytes.size(), flags));
  }
  Status send(std::string_view text, int flags = 0) const noexcept {
    return send(std::as_bytes(std::span(text)), flags);
  }
  // Gives the buffer away: it is released when the peer has it. Not ok: it still is the caller's.
  Status send(Buffer&& buffer, int flags = 0) const noexcept {
    const Status status = send(buffer.bytes(), flags | SIO_RELEASE);
    if (status) buffer.give_up();
    return status;
  }
  // One message from several places; those in associated areas are lent.
  Status send(std::span<const iovec> pieces, int flags = 0) const noexcept {
    const msghdr message = header_of(pieces);
    return detail::status(sio_sendmsg(fd_, &message, sizeof message, flags));
  }
  // The message is the program's, so MSG_PEEK has no effect here: that is peek().
  Received receive(int flags = 0, size_t most = SIZE_MAX) const noexcept {
    void* data = nullptr;
    const int n = sio_recv(fd_, &data, most, flags & ~MSG_PEEK);
    if (n < 0) return {Status(errno), {}};
    return {{}, Buffer(data, static_cast<size_t>(n))};
  }
  Peeked peek(int flags = 0) const noexcept {
    void* data = nullptr;
    const int n = sio_recv(fd_, &data, SIZE_MAX, flags | MSG_PEEK);
    if (n < 0) return {Status(errno), {}};
    return {{}, {static_cast<const std::byte*>(data), static_cast<size_t>(n)}};
  }
  // On a stream as many slots as there is room for, else one piece. Those are what `room` begins
  // with.
  ReceivedPieces receive_pieces(std::span<iovec> room, int flags = 0) const noexcept {
    msghdr message = header_of(room);
    const void* at = &message;
    if (sio_recvmsg(fd_, &at, sizeof message, flags & ~MSG_PEEK) < 0) return {Status(errno), {}};
    return {{}, room.first(message.msg_iovlen)};
  }
  // Datagrams.
  template <typename Address>
  Status send_to(const Address& to, std::span<const std::byte> bytes,
                 int flags = 0) const noexcept {
    const int result =
        sio_sendto(fd_, bytes.data(), bytes.size(), flags, as_sockaddr(to), sizeof to);
    return detail::status(result);
  }
  template <typename Address>
  Status send_to(const Address& to, std::string_view text, int flags = 0) const noexcept {
    return send_to(to, std::as_bytes(std::span(text)), flags);
  }
  template <typename Address>
  Status send_to(const Address& to, Buffer&& buffer, int flags = 0) const noexcept {
    const Status status = send_to(to, buffer.bytes(), flags | SIO_RELEASE);
    if (status) buffer.give_up();
    return status;
  }
  template <typename Address>
  Status send_to(const Address& to, std::span<const iovec> pieces, int flags = 0) const noexcept {
    msghdr message = header_of(pieces);
    message.msg_name = const_cast<sockaddr*>(as_sockaddr(to));  // which is only read
    message.msg_namelen = sizeof to;
    return detail::status(sio_sendmsg(fd_, &message, sizeof message, flags));
  }
  ReceivedFrom receive_from(int flags = 0, size_t most = SIZE_MAX) const noexcept {
    ReceivedFrom received{};
    const void* data = nullptr;
    auto* const from = reinterpret_cast<sockaddr*>(&received.from);
    const int n = sio_recvfrom(fd_, &data, most, flags & ~MSG_PEEK, from, sizeof received.from);
    if (n < 0) {
      received.status = Status(errno);
    } else {
      received.buffer = Buffer(const_cast<void*>(data), static_cast<size_t>(n));
    }
    return received;
  }
  Status flush() const noexcept { return detail::status(sio_flush(fd_, nullptr)); }
  Status flush(std::chrono::nanoseconds limit) const noexcept {
    timespec time = detail::to_timespec(limit);
    return detail::status(sio_flush(fd_, &time));
  }
  Status shutdown(int how) const noexcept { return detail::status(sio_shutdown(fd_, how)); }

  void swap(Socket& other) noexcept { std::swap(fd_, other.fd_); }

 private:
  static Socket accepted(int fd) {
    if (fd < 0 && errno != EAGAIN) detail::checked(fd, "sio_accept");
    return own(fd);
  }
  sockaddr_storage name_by(int (*call)(int, sockaddr*, socklen_t*), const char* what) const {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    detail::checked(call(fd_, reinterpret_cast<sockaddr*>(&storage), &size), what);
    return storage;
  }
  static msghdr header_of(std::span<const iovec> pieces) noexcept {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces.data());  // to send they are only read
    message.msg_iovlen = pieces.size();
    return message;
  }
  template <typename Address>
  static const sockaddr* as_sockaddr(const Address& address) noexcept {
    return reinterpret_cast<const sockaddr*>(&address);
  }

  int fd_ = -1;
};

}  // namespace sio

#endif
