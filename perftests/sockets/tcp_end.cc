// SPDX-License-Identifier: BSD-2-Clause
//
// TCP sockets, used as well as is known: no delay, many short messages to a system call, and a
// large buffer to read into. Waiting is spinning on a non-blocking read, or a blocking read.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "sockets/plain_loops.h"

namespace sio_perf {
namespace {

constexpr size_t kBatch = 16'384;    // bytes that are sent at once, when messages are short
constexpr size_t kBuffer = 262'144;  // or one message, which then needs not be moved
constexpr int kBacklog = 16;

class TcpSocket {
 public:
  explicit TcpSocket(int fd) : fd_(fd) {
    if (fd_ < 0) fail_with_errno("socket");
  }
  TcpSocket(TcpSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~TcpSocket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

TcpSocket new_socket(const Address& address) {
  return TcpSocket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

class TcpEnd {
 public:
  explicit TcpEnd(const Options& options) : TcpEnd(connected(options)) {}
  explicit TcpEnd(TcpSocket socket) : socket_(std::move(socket)), out_(kBatch), in_(kBuffer) {
    const int on = 1;
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }

  void prepare(const Parameters& parameters) {
    flags_ = parameters.event ? 0 : MSG_DONTWAIT;
    out_.resize(kBatch + parameters.size);
    in_.resize(std::max<size_t>(kBuffer, parameters.size));
  }

  unsigned char* source() { return out_.data() + queued_; }

  void send(size_t length, bool last) {
    queued_ += length;
    if (!last && queued_ < kBatch) return;
    for (size_t done = 0; done < queued_;) {
      const ssize_t n = ::send(socket_.get(), out_.data() + done, queued_ - done, MSG_NOSIGNAL);
      if (n > 0) done += static_cast<size_t>(n);
      if (n < 0) interrupted_or_gone();
    }
    queued_ = 0;
  }

  const unsigned char* receive(size_t length) {
    if (end_ - begin_ < length) {
      std::copy(in_.data() + begin_, in_.data() + end_, in_.data());
      end_ -= std::exchange(begin_, 0);
      while (end_ < length) read();
    }
    return in_.data() + std::exchange(begin_, begin_ + length);
  }

 private:
  static TcpSocket connected(const Options& options) {
    const Address address = resolve(options.host, options.port, false);
    TcpSocket socket = new_socket(address);
    if (::connect(socket.get(), address.get(), address.length) != 0) {
      check_stop();
      fail_with_errno(options.host, "start `sio_perf tcp-server` there, or check --port");
    }
    return socket;
  }

  void read() {
    const ssize_t n = ::recv(socket_.get(), in_.data() + end_, in_.size() - end_, flags_);
    if (n > 0) end_ += static_cast<size_t>(n);
    if (n == 0) throw PeerGone("the other end has closed the connection");
    if (n < 0) interrupted_or_gone();
  }

  static void interrupted_or_gone() {
    check_stop();
    if (errno == EAGAIN || errno == EINTR) return;
    if (errno == ECONNRESET || errno == EPIPE) throw PeerGone("the other end is gone");
    fail_with_errno("TCP");
  }

  TcpSocket socket_;
  int flags_ = 0;
  std::vector<unsigned char> out_, in_;
  size_t queued_ = 0;           // bytes to be sent
  size_t begin_ = 0, end_ = 0;  // of what was read and not yet received
};

}  // namespace

std::unique_ptr<Client> connect_tcp(const Options& options, uint32_t size) {
  return std::make_unique<PlainClient<TcpEnd>>(options, size, "tcp");
}

void serve_tcp(const Options& options) {
  const Address address = resolve(options.bind, options.port, true);
  const TcpSocket listener = new_socket(address);
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener.get(), address.get(), address.length) != 0 ||
      ::listen(listener.get(), kBacklog) != 0) {
    fail_with_errno("--bind and --port", "choose another port");
  }
  do {
    const int accepted = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
    check_stop();
    if (accepted < 0) continue;
    TcpEnd end{TcpSocket(accepted)};
    serve_client(options, end);
  } while (!options.once);
}

}  // namespace sio_perf
