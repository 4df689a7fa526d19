// SPDX-License-Identifier: BSD-2-Clause
//
// Listening and accepting. A connection that asks costs an endpoint until the program accepts
// it, and no memory of the program's: queue pair and slots are made in sio_accept.
#include <netinet/in.h>

#include <atomic>
#include <cstring>

#include "base/error.h"
#include "base/log.h"
#include "event/descriptor_table.h"
#include "socket/dispatch.h"
#include "socket/socket_guard.h"
#include "socket/socket_pool.h"

namespace sio::internal {
namespace {

wire::Refusal refusal_of(wire::HelloFault fault) noexcept {
  switch (fault) {
    case wire::HelloFault::kVersion:
      return wire::Refusal::kVersion;
    case wire::HelloFault::kType:
      return wire::Refusal::kType;
    case wire::HelloFault::kLimits:
      return wire::Refusal::kLimits;
    default:
      return wire::Refusal::kForeign;
  }
}

// Nobody else would say so; and it is a warning only once, for peers can bring it about.
void log_unused_device(const provider::Endpoint& incoming) {
  static std::atomic<bool> has_warned{false};
  if (has_warned.exchange(true)) {
    LOG_INFO("refused a connection: it comes through a device that is not used here");
  } else {
    LOG_WARN(
        "refused a connection through device %s: the devices that are used are those that were "
        "active when the program first needed one",
        incoming.port_info().device.c_str());
  }
}

}  // namespace

int Socket::listen(int backlog) {
  if (is_datagram()) return -EOPNOTSUPP;
  if (phase_ == Phase::kListening) {
    backlog_.set_limit(backlog);
    return 0;
  }
  if (phase_ != Phase::kFresh) return -EISCONN;
  // The options may have changed since dma_assoc.
  if (receive_size_ != 0 && options_.slots_in(receive_size_) == 0)
    return too_small_to_receive(receive_size_);
  start_dispatch();
  if (!bound_) {
    sockaddr_storage any{};
    any.ss_family = static_cast<sa_family_t>(domain_);
    if (const int error = bind(reinterpret_cast<sockaddr*>(&any))) return error;
  }
  dispatch_to(endpoint_->serial(), this);
  // Our own backlog counts; the connection manager's only has to be no smaller.
  if (const int error = endpoint_->listen(Backlog::kMost)) {
    dispatch_to_nobody(endpoint_->serial());
    return error;
  }
  if (!shares_) give_up_region();  // the association is only a template from here on
  backlog_.set_limit(backlog);
  set_phase(Phase::kListening);
  return 0;
}

void Socket::on_request(provider::ConnectionEvent& event) {
  std::unique_ptr<provider::Endpoint> incoming = std::move(event.incoming);
  wire::Hello hello;
  const wire::HelloFault fault = read_hello(event.data, hello);
  if (fault != wire::HelloFault::kNone) {
    LOG_INFO("refused a connection: its greeting is not ours (%d)", static_cast<int>(fault));
    incoming->reject(wire::encode_refusal(refusal_of(fault)));
    return;
  }
  if (phase_ != Phase::kListening || backlog_.full()) {
    incoming->reject(wire::encode_refusal(phase_ == Phase::kListening ? wire::Refusal::kBacklog
                                                                      : wire::Refusal::kClosed));
    return;
  }
  if (incoming->device() == nullptr) {  // it would be first in the queue for ever
    log_unused_device(*incoming);
    incoming->reject(wire::encode_refusal(wire::Refusal::kClosed));
    return;
  }
  Backlog::Queue newcomer = Backlog::newcomer(std::move(incoming), hello);
  dispatch_to(newcomer.front().endpoint->serial(), this);
  backlog_.add(std::move(newcomer));
  channel()->offer(this);
}

void Socket::stop_listening() noexcept {
  for (Backlog::Pending& pending : backlog_.take_all()) {
    dispatch_to_nobody(pending.endpoint->serial());
    pending.endpoint->reject(wire::encode_refusal(wire::Refusal::kClosed));
  }
}

// The device that the address is of has gone. Nothing more comes: EC_HUP says why.
void Socket::listening_failed(int error) noexcept {
  LOG_WARN("listening ends: %s", errno_text(error));
  fails_with(error);
  stop_listening();
  end();
}

int Socket::why_not_listening() const noexcept {
  const bool has_listened = backlog_.has_limit();
  return has_listened && failure_ != 0 ? ENODEV : EINVAL;
}

// ------------------------------------------------------------------------------------ accept

// What an accepted socket inherits, taken under the listener's lock.
class Socket::Template {
 public:
  Template(const Socket& listener, const AcceptOptions& wish)
      : Template(wish, make(listener.domain_, listener.type_, wish.nonblock, listener.options_)) {
    socket_->send_areas_ = listener.send_areas_;
    socket_->receive_area_ = listener.receive_area_;
    socket_->receive_size_ = listener.receive_size_;
    socket_->shares_ = listener.shares_;
    socket_->associated_.reserve(listener.associated_.size());
    for (const Association& one : listener.associated_) {
      // The listener's own association keeps the area alive while we hold the lock.
      if (one.area->associate()) socket_->associated_.push_back(one);
    }
    socket_->set_deliver(listener.deliver_);
    socket_->cookie_ = listener.cookie_;
    if (wish.ec >= 0) {
      socket_->set_deliver(listener.channel()->hidden() || listener.deliver_);
      socket_->cookie_ = wish.cookie;
    } else if (!listener.channel()->hidden()) {
      wish_.ec = listener.channel()->fd();
    }
  }
  Template(const Template&) = delete;
  Template& operator=(const Template&) = delete;
  ~Template() {
    if (socket_ == nullptr) return;
    socket_->release_memory();
    socket_pool().give_back(socket_);
  }

  // The new descriptor or -errno. Takes the endpoint out of `pending` once the peer may know.
  int accept(Backlog::Pending& pending, sockaddr_storage& peer) {
    OwnFd descriptor(check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
    const int fd = descriptor.get();
    ChannelGuard target = wish_.ec >= 0 ? ChannelGuard::of(wish_.ec) : ChannelGuard();
    if (wish_.ec >= 0 && !target) return -EBADF;
    if (!target) {
      ChannelOptions options;
      options.hidden = socket_;
      ChannelGuard own(Channel::open(std::move(descriptor), options));
      return start(*own, fd, pending, peer);
    }
    // Not a duplicate of a set that all have: what a program registered elsewhere would outlive it.
    socket_->placeholder_ = std::move(descriptor);
    return start(*target, fd, pending, peer);
  }

 private:
  // Of one that is complete the destructor runs, whatever the other one throws.
  Template(const AcceptOptions& wish, Socket* socket) noexcept : wish_(wish), socket_(socket) {}

  int start(Channel& channel, int fd, Backlog::Pending& pending, sockaddr_storage& peer) {
    const int result = socket_->start_accepted(channel, fd, pending, peer);
    if (result >= 0) socket_ = nullptr;  // it lives
    return result;
  }

  AcceptOptions wish_;
  Socket* socket_;
};

int Socket::accept(int fd, const AcceptOptions& wish, sockaddr_storage& peer) {
  int result;
  do {  // a peer that has given up meanwhile is nobody's business
    result = accept_next(SocketGuard::of(fd), wish, peer);
  } while (result == -ECONNABORTED);
  return result;
}

int Socket::accept_next(SocketGuard guard, const AcceptOptions& wish, sockaddr_storage& peer) {
  if (!guard) return -EBADF;
  Socket& listener = *guard;
  if (listener.is_datagram()) return -EOPNOTSUPP;
  if (listener.phase_ != Phase::kListening) return -listener.why_not_listening();
  while (listener.backlog_.empty()) {
    if (listener.nonblock_) {
      if (!guard.channel()->hidden() || guard.channel()->saw_empty()) return -EAGAIN;
      continue;
    }
    const int result = guard.wait(
        kNever, [&] { return listener.phase_ != Phase::kListening || !listener.backlog_.empty(); });
    if (result != 0) return result;
    if (listener.phase_ != Phase::kListening) return -listener.why_not_listening();
  }
  const uint64_t generation = listener.generation();
  Backlog::Queue first = listener.backlog_.take_first();
  Backlog::Pending& pending = first.front();
  int result;
  try {
    Template form(listener, wish);
    guard.channel().unlock();  // two locks are never held at once
    result = form.accept(pending, peer);
  } catch (const std::system_error& error) {
    result = -error.code().value();
    const char* const why = error.what();
    if (result == -ENOBUFS || pending.refused) {  // the program tries again, and again
      LOG_INFO("accepting: %s", why);
    } else if (result != -ECONNABORTED) {
      LOG_ERROR("accepting: %s", why);
    }
  } catch (const std::bad_alloc&) {
    result = -ENOMEM;
  }
  if (result == -ENODEV) result = -ECONNABORTED;  // its device went meanwhile; others have theirs
  guard.channel().unlock();
  const bool still_waits = pending.endpoint != nullptr && result != -ECONNABORTED;
  if (!still_waits && pending.endpoint != nullptr) dispatch_to_nobody(pending.endpoint->serial());
  if (still_waits) {
    wait_again(&listener, generation, std::move(first));
  } else if (result != -ECONNABORTED) {  // else the caller takes the next itself
    const SocketGuard still = SocketGuard::of(&listener, generation);
    if (still) still->tell_again();
  }
  return result;
}

// Not accepted, and the peer does not know: the connection goes on waiting, if the listener does.
void Socket::wait_again(Socket* listener, uint64_t generation, Backlog::Queue first) {
  provider::Endpoint& endpoint = *first.front().endpoint;
  const SocketGuard guard = SocketGuard::of(listener, generation);
  if (guard && guard->phase_ == Phase::kListening) {
    dispatch_to(endpoint.serial(), listener);
    guard->backlog_.put_back(std::move(first));
    if (!guard->channel()->hidden()) guard->tell_again_later();  // else it stays readable
    guard->channel()->changed();  // others may have looked meanwhile, and sleep
  } else {
    dispatch_to_nobody(endpoint.serial());
    endpoint.reject(wire::encode_refusal(wire::Refusal::kClosed));
  }
}

void Socket::tell_again_later() noexcept {
  const std::optional<milliseconds> pause = backlog_.tell_later(Clock::now());
  if (!pause) return;
  try {
    start_timer(limit_timer_, *pause, &Socket::tell_again_in_time);
  } catch (const std::bad_alloc&) {
    tell_again_in_time();  // rather than never
  }
}

void Socket::tell_again_in_time() {
  backlog_.came_due();
  tell_again();
}

void Socket::tell_again() noexcept {
  if (backlog_.tell_again()) channel()->offer(this);
}

// Under the lock of `in`, the channel that the new socket comes into.
int Socket::start_accepted(Channel& in, int fd, Backlog::Pending& pending, sockaddr_storage& peer) {
  fd_ = fd;
  enter(in);
  endpoint_ = std::move(pending.endpoint);
  peer_ = pending.hello;
  const auto undo = [&] {
    cancel(limit_timer_);
    unmake_connection();
    shared_.reset();  // under this lock, which guards it
    placeholder_.reset();
    in.detach();
    if (in.hidden()) in.close();
    channel_.store(nullptr, std::memory_order_release);
  };
  try {
    make_connection();
    // A peer that never says that the connection stands.
    start_timer(limit_timer_, milliseconds(options_.connect_timeout_ms),
                &Socket::connect_timed_out);
    DescriptorTable::instance().set(fd, this);
  } catch (...) {
    undo();
    pending.endpoint = std::move(endpoint_);
    throw;
  }
  dispatch_to(endpoint_->serial(), this);
  set_phase(Phase::kAccepting);
  peer = endpoint_->peer_address();
  if (endpoint_->accept(wire::encode_hello(our_hello())) == 0) return fd;
  DescriptorTable::instance().clear(fd);
  dispatch_to_nobody(endpoint_->serial());
  undo();
  endpoint_.reset();
  return -ECONNABORTED;
}

}  // namespace sio::internal
