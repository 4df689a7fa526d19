// SPDX-License-Identifier: BSD-2-Clause
//
// libsio for C++20: the calls of <sio/dma.h>, <sio/ec.h> and <sio/sio.h> with owners. All of it is
// inline over these calls, so their conventions hold, and what is said there of ownership, threads
// and errors is not said again here.
//
// 1. Area, Buffer, Channel and Socket own what their names say, can be moved and not copied, and
// end it when they go; who wants to know how that went ends it by hand before. An empty one owns
// nothing.
// 2. What sets something up throws std::system_error with the errno.
// 3. The data path is noexcept. Back-pressure and what a connection meets with are values (Status).
// 4. A Buffer is memory that is the program's: to fill and send, or received. It is released when
// it goes, unless it was given away, to a socket or by hand.
#ifndef SIO_SIO_HPP
#define SIO_SIO_HPP

#include <sio/sio.h>
#include <sys/uio.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace sio {

// What became of a call of the data path: 0, or the errno of the C call.
class [[nodiscard]] Status {
 public:
  constexpr Status() noexcept = default;
  constexpr explicit Status(int error) noexcept : error_(error) {}

  constexpr bool ok() const noexcept { return error_ == 0; }
  constexpr explicit operator bool() const noexcept { return ok(); }
  // Back-pressure, or nothing there: later it may be otherwise.
  constexpr bool again() const noexcept { return error_ == EAGAIN; }
  constexpr int error() const noexcept { return error_; }
  std::error_code code() const noexcept { return {error_, std::generic_category()}; }

 private:
  int error_ = 0;
};

namespace detail {

inline int checked(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

inline Status status(int result) noexcept { return Status(result < 0 ? errno : 0); }

inline timespec to_timespec(std::chrono::nanoseconds time) noexcept {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return {static_cast<time_t>(seconds.count()), static_cast<long>((time - seconds).count())};
}

}  // namespace detail

// ----------------------------------------------------------------------------------------- memory

class Buffer {
 public:
  Buffer() noexcept = default;
  // Takes over what the program owns: a reserved block or a received message.
  Buffer(void* data, size_t size, dma_mem_t area = nullptr) noexcept
      : data_(static_cast<std::byte*>(data)), size_(size), area_(area) {}
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  ~Buffer() { (void)release(); }

  explicit operator bool() const noexcept { return data_ != nullptr; }
  std::byte* data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }
  std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }

  // Gives it back to its area. EINVAL: it was not the program's any more.
  Status release() noexcept {
    if (data_ == nullptr) return {};
    return detail::status(sio_release(area_, give_up(), size_));
  }
  // Gives back so many of a stream's bytes, from the front, and keeps the others. More than there
  // are: EINVAL.
  Status release_front(size_t bytes) noexcept {
    if (bytes >= size_) return bytes == size_ ? release() : Status(EINVAL);
    const Status status = detail::status(sio_release(area_, data_, bytes));
    if (status) {
      data_ += bytes;
      size_ -= bytes;
    }
    return status;
  }
  // It is somebody else's to release from now on.
  std::byte* give_up() noexcept { return std::exchange(data_, nullptr); }

  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(area_, other.area_);
  }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  dma_mem_t area_ = nullptr;  // nullptr: found by address
};

// Goes after the sockets and buffers that use it: while some do it can not be freed, and stays.
class Area {
 public:
  Area() noexcept = default;
  // flags: DMA_HUGE_2MB, DMA_HUGE_1GB.
  explicit Area(size_t bytes, unsigned flags = 0) : bytes_(bytes) {
    detail::checked(dma_alloc(&handle_, bytes, flags), "dma_alloc");
  }
  // The program's own mapping. flags: DMA_SEND.
  static Area import(std::span<std::byte> memory, unsigned flags = 0) {
    Area area;
    area.bytes_ = memory.size();
    detail::checked(dma_import(&area.handle_, memory.data(), memory.size(), flags), "dma_import");
    return area;
  }
  // Takes over an area.
  static Area own(dma_mem_t handle, size_t bytes) noexcept {
    Area area;
    area.handle_ = handle;
    area.bytes_ = bytes;
    return area;
  }
  Area(Area&& other) noexcept { swap(other); }
  Area& operator=(Area&& other) noexcept {
    Area(std::move(other)).swap(*this);
    return *this;
  }
  ~Area() { (void)free(); }

  explicit operator bool() const noexcept { return handle_ != nullptr; }
  dma_mem_t handle() const noexcept { return handle_; }
  size_t size() const noexcept { return bytes_; }

  // Not ok: it is in use (EBUSY), and stays.
  Status free() noexcept {
    if (handle_ == nullptr) return {};
    const Status status = detail::status(dma_free(handle_, bytes_));
    if (status) handle_ = nullptr;
    return status;
  }

  // Empty: there is no room for it now (errno: ENOBUFS), or never will be (EMSGSIZE).
  Buffer reserve(size_t bytes) const noexcept {
    void* data = nullptr;
    if (sio_reserve(handle_, &data, bytes) != 0) return {};
    return {data, bytes, handle_};
  }
  struct dma_stat stat() const noexcept {
    struct dma_stat stat {};
    ::dma_stat(handle_, &stat);
    return stat;
  }

  void swap(Area& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(bytes_, other.bytes_);
  }

 private:
  dma_mem_t handle_ = nullptr;
  size_t bytes_ = 0;
};

// ----------------------------------------------------------------------------------------- events

// The memory that an event brings: EC_RECV's message, EC_SENT's buffer. To be taken once.
inline Buffer buffer_of(const event_data_t& event) noexcept {
  return {event.data.buf, event.data.len, event.data.mem};
}

class Channel {
 public:
  Channel() noexcept = default;
  explicit Channel(unsigned flags) : ec_(detail::checked(ec_create(flags), "ec_create")) {}
  // On a ring of the program's, which outlives the channel. flags: also EC_OVERFLOW_SIGNAL(signo).
  Channel(unsigned flags, std::span<event_data_t> ring)
      : ec_(detail::checked(ec_create_ring(flags, ring.data(), ring.size()), "ec_create_ring")) {}
  Channel(Channel&& other) noexcept : ec_(std::exchange(other.ec_, -1)) {}
  Channel& operator=(Channel&& other) noexcept {
    Channel(std::move(other)).swap(*this);
    return *this;
  }
  ~Channel() { (void)close(); }

  // Not ok: sockets are in it (EBUSY), and it stays.
  Status close() noexcept {
    if (ec_ < 0) return {};
    const Status status = detail::status(ec_destroy(ec_));
    if (status) ec_ = -1;
    return status;
  }

  explicit operator bool() const noexcept { return ec_ >= 0; }
  ec_t handle() const noexcept { return ec_; }
  // For poll, epoll and event loops.
  int descriptor() const { return detail::checked(ec_to_fd(ec_), "ec_to_fd"); }

  // The next event; none: there is none now.
  std::optional<event_data_t> next() const noexcept {
    event_data_t event;
    if (ec_next_event(ec_, &event) != 0) return std::nullopt;
    return event;
  }
  // As many as are there and have room; the rest of the span is as it was.
  std::span<event_data_t> next(std::span<event_data_t> room) const noexcept {
    const int n = ec_next_events(ec_, room.data(), static_cast<int>(room.size()));
    return room.first(n > 0 ? static_cast<size_t>(n) : 0);
  }
  // Until there is an event: ok. Or ETIMEDOUT, EINTR.
  Status wait() const noexcept { return detail::status(ec_delay(ec_, nullptr)); }
  Status wait(std::chrono::nanoseconds limit) const noexcept {
    timespec time = detail::to_timespec(limit);
    return detail::status(ec_delay(ec_, &time));
  }

  Status post(uint64_t value, void* cookie = nullptr) const noexcept {
    return detail::status(ec_post(ec_, value, cookie));
  }

  // Sources. Those that have an id return it.
  void add(int descriptor, uint32_t events, void* cookie = nullptr) const {
    detail::checked(ec_add_fd(ec_, descriptor, events, cookie), "ec_add_fd");
  }
  void change(int descriptor, uint32_t events, void* cookie = nullptr) const {
    detail::checked(ec_mod_fd(ec_, descriptor, events, cookie), "ec_mod_fd");
  }
  void remove(int descriptor) const { detail::checked(ec_del_fd(ec_, descriptor), "ec_del_fd"); }
  int add_queue(mqd_t queue, uint32_t events, void* cookie = nullptr) const {
    return detail::checked(ec_add_mq(ec_, queue, events, cookie), "ec_add_mq");
  }
  // The first time after `first`, then each `interval`; without one: once.
  int add_timer(std::chrono::nanoseconds first, std::chrono::nanoseconds interval = {},
                void* cookie = nullptr) const {
    const itimerspec times{detail::to_timespec(interval), detail::to_timespec(first)};
    return add_timer(CLOCK_MONOTONIC, times, 0, cookie);
  }
  // flags: TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET.
  int add_timer(clockid_t clock, const itimerspec& times, int flags, void* cookie = nullptr) const {
    return detail::checked(ec_add_timer(ec_, clock, &times, flags, cookie), "ec_add_timer");
  }
  int add_signals(const sigset_t& signals, void* cookie = nullptr) const {
    return detail::checked(ec_add_signal(ec_, &signals, cookie), "ec_add_signal");
  }
  int add_semaphore(sem_t& semaphore, void* cookie = nullptr) const {
    return detail::checked(ec_add_sem(ec_, &semaphore, cookie), "ec_add_sem");
  }
  // Told once, when the word was woken or is no longer `value`. flags: EC_FUTEX_SHARED.
  int add_futex(uint32_t& word, uint32_t value, int flags = 0, void* cookie = nullptr) const {
    return detail::checked(ec_add_futex(ec_, &word, value, flags, cookie), "ec_add_futex");
  }
  int add_process(pid_t pid, void* cookie = nullptr) const {
    return detail::checked(ec_add_process(ec_, pid, cookie), "ec_add_process");
  }
  // False: it has ended.
  bool end(int id) const noexcept { return ec_del(ec_, id) == 0; }

  void swap(Channel& other) noexcept { std::swap(ec_, other.ec_); }

 private:
  ec_t ec_ = -1;
};

// ---------------------------------------------------------------------------------------- sockets

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

#endif  // SIO_SIO_HPP
