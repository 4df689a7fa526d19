// SPDX-License-Identifier: BSD-2-Clause
//
// libsio for C++20's coroutines: what <sio/sio.hpp> has, awaited. All of it is inline over the
// calls of C, so their conventions hold, and what is said there of ownership and errors is not said
// again here.
//
// 1. A Loop has a channel and runs in one thread, as does all that is made with it: tasks, sockets,
//    signals. Each thread may have its own; they share nothing.
// 2. A Task begins when it is awaited, or is given to a loop (run, spawn).
// 3. co_await goes on at once when there is nothing to wait for; after 32 times in a row others
//    have their turn. Else the coroutine waits in line, and first come is first served. Waiting
//    allocates nothing. Several coroutines may wait at one socket.
// 4. Failures are thrown: std::system_error with the errno of the call, or of the connection. Of
//    these co_await has more than the call: ETIMEDOUT, the time of within() is over; ECANCELED, the
//    socket was closed meanwhile; EBADF, before. EAGAIN is what it waits for, and does not throw.
// 5. A coroutine that is destroyed where it waits waits no more, and what it has goes. A loop that
//    goes destroys what was spawned. What else was made with it goes before it.
#ifndef SIO_CORO_HPP
#define SIO_CORO_HPP

#include <sio/loop.hpp>
#include <sio/sio.hpp>
#include <sio/task.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <coroutine>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace sio::coro {

class Socket;

namespace detail {

// A call that may have to wait, for the event after which it is tried again.
class Operation : public Waiter {
 public:
  explicit Operation(Alarms& alarms) noexcept : Waiter(alarms) {}
  // As the call; EAGAIN: it has to wait.
  virtual Status attempt() noexcept = 0;

 protected:
  ~Operation() = default;
};

// A socket in a loop, and who waits at it.
class Place final : public Source {
 public:
  explicit Place(Loop& loop) : loop_(loop), cookie_(loop.sources().add(*this)) {}
  ~Place() { (void)close(); }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  Loop& loop() noexcept { return loop_; }
  void* cookie() const noexcept { return cookie_; }

  Status close() noexcept {
    for (Line<Operation>* line : {&connects, &inputs, &outputs}) end_all(*line, ECANCELED);
    if (cookie_ != nullptr) loop_.sources().remove(std::exchange(cookie_, nullptr));
    return socket.close();
  }

  // Whoever comes waits behind those who wait already. The error; EAGAIN: it has to wait.
  int begin(Operation& operation, const Line<Operation>& line) const noexcept {
    if (!line.empty()) return EAGAIN;
    const Status status = operation.attempt();
    return status.again() && failure_ != 0 ? failure_ : status.error();
  }

  void take(const event_data_t& event) noexcept override {
    switch (event.kind) {
      case EC_CONNECT:
        if (!connects.empty()) loop_.end(connects.front(), event.error);
        if (event.error != 0) serve(outputs);  // in vain
        return serve(connects);
      case EC_ACCEPT:
      case EC_READABLE:
      case EC_EOF:
        return serve(inputs);
      case EC_WRITABLE:
        return serve(outputs);
      case EC_HUP:
        failure_ = event.error;
        for (Line<Operation>* line : {&inputs, &outputs}) {
          serve(*line);
          end_all(*line, failure_);
        }
    }
  }

  // As many as get what they wait for.
  void serve(Line<Operation>& line) noexcept {
    while (!line.empty()) {
      const Status status = line.front().attempt();
      if (status.again()) return;
      loop_.end(line.front(), status.error());
    }
  }

  sio::Socket socket;
  Line<Operation> connects;
  Line<Operation> inputs;  // a listener's are its accepts
  Line<Operation> outputs;

 private:
  void end_all(Line<Operation>& line, int error) noexcept {
    while (!line.empty()) loop_.end(line.front(), error);
  }

  Loop& loop_;
  void* cookie_;
  int failure_ = 0;  // of EC_HUP, after which no event comes
};

// Call: Status operator()(Place&), tried until it has not to wait; result(), once; kLine; kName.
template <typename Call>
class Awaiter final : public Operation {
 public:
  Awaiter(Place& place, Call&& call, Clock::time_point limit) noexcept
      : Operation(place.loop().alarms()), place_(place), call_(std::move(call)), limit_(limit) {}
  // One that is destroyed while it waits leaves the line to those behind it, as one whose time is
  // over does: what they want may be had, and no event comes of it.
  ~Awaiter() override {
    if (!suspended_ || has_ended()) return;
    leave();
    gave_up();
  }
  void gave_up() noexcept override { place_.serve(place_.*Call::kLine); }

  bool await_ready() noexcept {
    const int error = place_.begin(*this, place_.*Call::kLine);
    waits_ = error == EAGAIN;
    if (!waits_) end(error);
    return !waits_ && place_.loop().may_go_on();
  }
  void await_suspend(std::coroutine_handle<> coroutine) noexcept {
    Loop& loop = place_.loop();
    suspend(coroutine);
    if (!waits_) return loop.end(*this, error());
    (place_.*Call::kLine).join(*this);
    suspended_ = true;
    if (limit_ != Clock::time_point::max()) loop.alarms().set(*this, limit_);
  }
  auto await_resume() {
    if (error() != 0) throw std::system_error(error(), std::generic_category(), Call::kName);
    return call_.result();
  }

  Status attempt() noexcept override { return call_(place_); }

 private:
  Place& place_;  // which may have gone by the time that the coroutine goes on
  Call call_;
  Clock::time_point limit_;
  bool waits_ = false;
  bool suspended_ = false;  // in the line, until it has ended
};

// What the calls of a socket return, and co_await takes.
template <typename Call>
class [[nodiscard]] Awaitable {
 public:
  Awaitable(Place& place, Call&& call) noexcept : place_(place), call_(std::move(call)) {}

  // ETIMEDOUT after this time. What has begun (a connect) goes on.
  Awaitable within(std::chrono::nanoseconds time) && noexcept {
    limit_ = in(time);
    return std::move(*this);
  }
  Awaiter<Call> operator co_await() && noexcept {
    return Awaiter<Call>(place_, std::move(call_), limit_);
  }

 private:
  Place& place_;
  Call call_;
  Clock::time_point limit_ = Clock::time_point::max();
};

struct Connect {
  static constexpr auto kLine = &Place::connects;
  static constexpr const char* kName = "sio_connect";
  Status operator()(Place& place) const noexcept {
    const Status status =
        place.socket.try_connect(reinterpret_cast<const sockaddr*>(&address), size);
    return status.error() == EINPROGRESS ? Status(EAGAIN) : status;  // until EC_CONNECT
  }
  void result() const noexcept {}

  sockaddr_storage address;
  socklen_t size;
};

struct Accept {
  static constexpr auto kLine = &Place::inputs;
  static constexpr const char* kName = "sio_accept";
  Status operator()(Place& listener) const noexcept {
    const int fd = sio_accept_ec(listener.socket.descriptor(), nullptr, nullptr, SOCK_NONBLOCK,
                                 listener.loop().channel().handle(), accepted->cookie());
    if (fd < 0) return Status(errno);
    accepted->socket = sio::Socket::own(fd);
    return {};
  }
  Socket result() noexcept;

  std::unique_ptr<Place> accepted;  // its cookie is needed before
};

struct Receive {
  static constexpr auto kLine = &Place::inputs;
  static constexpr const char* kName = "sio_recv";
  Status operator()(Place& place) noexcept {
    received = place.socket.receive(MSG_DONTWAIT, most);
    return received.status;
  }
  Buffer result() noexcept { return std::move(received.buffer); }

  size_t most;
  sio::Socket::Received received{};
};

struct ReceiveFrom {
  static constexpr auto kLine = &Place::inputs;
  static constexpr const char* kName = "sio_recvfrom";
  Status operator()(Place& place) noexcept {
    received = place.socket.receive_from(MSG_DONTWAIT, most);
    return received.status;
  }
  sio::Socket::ReceivedFrom result() noexcept { return std::move(received); }

  size_t most;
  sio::Socket::ReceivedFrom received{};
};

// What: text, bytes, pieces, or Buffer&&.
template <typename What>
struct Send {
  static constexpr auto kLine = &Place::outputs;
  static constexpr const char* kName = "sio_send";
  Status operator()(Place& place) noexcept {
    return place.socket.send(static_cast<What>(what), flags | MSG_DONTWAIT);
  }
  void result() const noexcept {}

  What what;
  int flags;
};

template <typename Address, typename What>
struct SendTo {
  static constexpr auto kLine = &Place::outputs;
  static constexpr const char* kName = "sio_sendto";
  Status operator()(Place& place) noexcept {
    return place.socket.send_to(to, static_cast<What>(what), flags | MSG_DONTWAIT);
  }
  void result() const noexcept {}

  Address to;
  What what;
  int flags;
};

}  // namespace detail

// A socket in a loop. An empty one, made without arguments or moved from, is there to be assigned
// to. What co_await gives and takes:
//
//   co_await socket.recv()            Buffer; empty: the peer sends no more
//   co_await socket.send(what)        until it is queued: waits while the peer has no room
//   co_await socket.connect(address)
//   co_await socket.accept()          Socket
//   co_await socket.recv().within(1s) any of them: ETIMEDOUT
class Socket {
 public:
  Socket() noexcept = default;
  Socket(Loop& loop, int domain, int type = SOCK_SEQPACKET)
      : Socket(loop, sio::Socket(domain, type)) {}
  // One that is in no channel, and neither connected nor listens.
  Socket(Loop& loop, sio::Socket&& socket) : place_(std::make_unique<detail::Place>(loop)) {
    socket.set_nonblocking(true);
    socket.join(loop.channel(), EPOLLIN, place_->cookie());
    place_->socket = std::move(socket);
  }

  explicit operator bool() const noexcept { return place_ != nullptr && place_->socket; }
  // For what does not wait: socket->bind(at).listen(). What it could wait for fails with EAGAIN,
  // and wakes nobody here later; it is closed by this one's close().
  sio::Socket* operator->() const noexcept { return &place_->socket; }
  sio::Socket& operator*() const noexcept { return place_->socket; }

  // Those who wait at it go on with ECANCELED. So they do when it goes.
  Status close() noexcept { return place_ != nullptr ? place_->close() : Status(); }

  auto connect(const sockaddr* address, socklen_t size) noexcept {
    detail::Connect call{{}, size};
    std::memcpy(&call.address, address, std::min<size_t>(size, sizeof call.address));
    return await(std::move(call));
  }
  // Address: sockaddr_in, sockaddr_in6 or sockaddr_storage.
  template <typename Address>
  auto connect(const Address& address) noexcept {
    return connect(reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  // Into the same loop.
  auto accept() { return await(detail::Accept{std::make_unique<detail::Place>(loop())}); }

  // most: of a stream, so many bytes of what is there; of messages, a larger one is EMSGSIZE.
  auto recv(size_t most = SIZE_MAX) noexcept { return await(detail::Receive{most}); }
  auto recv_from(size_t most = SIZE_MAX) noexcept { return await(detail::ReceiveFrom{most}); }

  // As those of sio::Socket: a Buffer is given away, unless it throws; then it still is the
  // caller's. Other bytes are copied, and are there until co_await has ended. (Those in an
  // associated area are lent. Nothing here tells when they come back.)
  auto send(Buffer&& buffer, int flags = 0) noexcept {
    return await(detail::Send<Buffer&&>{std::move(buffer), flags});
  }
  auto send(std::string_view text, int flags = 0) noexcept {
    return await(detail::Send<std::string_view>{text, flags});
  }
  auto send(std::span<const std::byte> bytes, int flags = 0) noexcept {
    return await(detail::Send<std::span<const std::byte>>{bytes, flags});
  }
  auto send(std::span<const iovec> pieces, int flags = 0) noexcept {
    return await(detail::Send<std::span<const iovec>>{pieces, flags});
  }
  template <typename Address>
  auto send_to(const Address& to, Buffer&& buffer, int flags = 0) noexcept {
    return await(detail::SendTo<Address, Buffer&&>{to, std::move(buffer), flags});
  }
  template <typename Address>
  auto send_to(const Address& to, std::string_view text, int flags = 0) noexcept {
    return await(detail::SendTo<Address, std::string_view>{to, text, flags});
  }
  template <typename Address>
  auto send_to(const Address& to, std::span<const std::byte> bytes, int flags = 0) noexcept {
    return await(detail::SendTo<Address, std::span<const std::byte>>{to, bytes, flags});
  }
  template <typename Address>
  auto send_to(const Address& to, std::span<const iovec> pieces, int flags = 0) noexcept {
    return await(detail::SendTo<Address, std::span<const iovec>>{to, pieces, flags});
  }

 private:
  friend detail::Accept;

  explicit Socket(std::unique_ptr<detail::Place> place) noexcept : place_(std::move(place)) {}

  Loop& loop() const noexcept { return place_->loop(); }
  template <typename Call>
  detail::Awaitable<Call> await(Call&& call) noexcept {
    return detail::Awaitable<Call>(*place_, std::move(call));
  }

  std::unique_ptr<detail::Place> place_;  // where it stays when the socket is moved
};

inline Socket detail::Accept::result() noexcept { return Socket(std::move(accepted)); }

// Signals that are sent to the process. The caller has blocked them in all threads, as for
// ec_add_signal. Those that come while nobody waits are kept.
class Signals final : private detail::Source {
 public:
  struct Signal {
    int number;
    ec_signal sent;  // by whom, and with which value
  };

  class [[nodiscard]] Next : public detail::Waiter {
   public:
    explicit Next(Signals& signals) noexcept : Waiter(signals.loop_.alarms()), signals_(signals) {}
    bool await_ready() noexcept {
      if (signals_.kept_.empty()) return false;
      signal_ = signals_.kept_.front();
      signals_.kept_.pop_front();
      return true;
    }
    void await_suspend(std::coroutine_handle<> coroutine) noexcept {
      suspend(coroutine);
      signals_.waiting_.join(*this);
    }
    Signal await_resume() const {
      if (error() != 0) throw std::system_error(error(), std::generic_category(), "signals");
      return signal_;
    }

   private:
    friend Signals;

    Signals& signals_;
    Signal signal_{};
  };

  Signals(Loop& loop, const sigset_t& signals) : loop_(loop), cookie_(loop.sources().add(*this)) {
    try {
      id_ = loop.channel().add_signals(signals, cookie_);
    } catch (...) {
      loop.sources().remove(cookie_);
      throw;
    }
  }
  Signals(Loop& loop, std::initializer_list<int> signals) : Signals(loop, set_of(signals)) {}
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  // Those who wait go on with ECANCELED.
  ~Signals() {
    while (!waiting_.empty()) loop_.end(waiting_.front(), ECANCELED);
    loop_.channel().end(id_);
    loop_.sources().remove(cookie_);
  }

  // co_await signals.next()
  Next next() noexcept { return Next(*this); }

 private:
  static sigset_t set_of(std::initializer_list<int> signals) noexcept {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : signals) sigaddset(&set, signal);
    return set;
  }

  void take(const event_data_t& event) override {
    const Signal signal{event.fd, event.signal};
    if (waiting_.empty()) return kept_.push_back(signal);
    waiting_.front().signal_ = signal;
    loop_.end(waiting_.front(), 0);
  }

  Loop& loop_;
  void* cookie_;
  int id_ = 0;
  std::deque<Signal> kept_;
  detail::Line<Next> waiting_;
};

}  // namespace sio::coro

#endif
