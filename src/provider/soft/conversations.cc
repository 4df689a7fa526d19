// SPDX-License-Identifier: BSD-2-Clause
//
// How a conversation comes to stand, and how it ends.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

#include <cstring>

#include "base/error.h"
#include "base/log.h"
#include "provider/soft/addresses.h"
#include "provider/soft/connection_manager.h"
#include "provider/soft/device.h"
#include "provider/soft/endpoint.h"
#include "provider/soft/numbers.h"
#include "provider/soft/queue_pair.h"

namespace sio::internal::provider::soft {
namespace {

using Kind = ConnectionEvent::Kind;

// Peers that have connected and not said what they want, and for how long they may.
constexpr size_t kMostGreetings = 1024;
constexpr milliseconds kGreetingLimit{5000};
// For the first frame of a peer that was accepted.
constexpr milliseconds kReadyLimit{5000};
// For the peer's goodbye.
constexpr milliseconds kLeavingLimit{1000};
// Bytes; the kernel doubles it. Within a host TCP's segments are of 64 KiB, and this is room for
// two of them: one that the peer takes and one to be filled. What follows waits with us, and then
// fills segments, and what is on its way stays in the cache: a stream of messages of 64 KiB is 1.25
// times as fast, with 1.3 segments to a message instead of 2.2. (With less than one and a half
// segments both ends would wait for each other.) Between hosts the kernel knows better.
constexpr int kSendBufferWithinHost = 65'536;
// Before accept4 is tried again when the process has no descriptor left.
constexpr milliseconds kScarcityPause{100};

void set_option(int fd, int level, int name, int value = 1) noexcept {
  setsockopt(fd, level, name, &value, sizeof value);
}

// Of a connection that stands.
void tune(int fd, const sockaddr_storage& local, const sockaddr_storage& peer) noexcept {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY);
  if (within_host(local, peer)) set_option(fd, SOL_SOCKET, SO_SNDBUF, kSendBufferWithinHost);
}

}  // namespace

// ------------------------------------------------------------------------------- coming to stand

uint64_t SoftConnectionManager::open() {
  const uint64_t serial = next_serial();
  const std::lock_guard lock(mutex_);
  conversations_.try_emplace(serial);
  return serial;
}

int SoftConnectionManager::open_stream(Conversation& one, int family) noexcept {
  OwnFd fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd) return -errno;
  // An IPv6 socket takes IPv6 only, so that both families can listen on one port.
  if (family == AF_INET6) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY);
  one.stream = std::move(fd);
  return 0;
}

// SO_REUSEADDR would let two sockets have one address as long as neither listens, which is wished
// for only with `reuse`. But what earlier connections left in the way is nobody's.
int SoftConnectionManager::bind(uint64_t serial, const sockaddr* address, bool reuse) noexcept {
  const std::lock_guard lock(mutex_);
  Conversation* one = find(serial);
  if (one == nullptr || one->state != State::kNew || one->stream) return -EINVAL;
  if (const int error = open_stream(*one, address->sa_family)) return error;
  const int fd = one->stream.get();
  if (reuse) set_option(fd, SOL_SOCKET, SO_REUSEADDR);
  int error = ::bind(fd, address, size_of(address)) == 0 ? 0 : errno;
  if (error == EADDRINUSE) {
    set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    error = ::bind(fd, address, size_of(address)) == 0 ? 0 : errno;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, reuse ? 1 : 0);
  }
  if (error != 0) {
    one->stream.reset();
    return -error;
  }
  one->local = name_of(fd);
  return 0;
}

int SoftConnectionManager::listen(uint64_t serial, int backlog) noexcept {
  const std::lock_guard lock(mutex_);
  Conversation* one = find(serial);
  if (one == nullptr || one->state != State::kNew || !one->stream) return -EINVAL;
  // What earlier connections left is in the way here too; and later listeners will find ours.
  set_option(one->stream.get(), SOL_SOCKET, SO_REUSEADDR);
  if (::listen(one->stream.get(), backlog) != 0) return -errno;
  if (watch(serial, one->stream.get(), EPOLLIN) != 0) return -errno;
  one->state = State::kListening;
  return 0;
}

void SoftConnectionManager::take_connections(uint64_t serial, Conversation& listener) {
  constexpr int kMostAtOnce = 64;
  for (int i = 0; i < kMostAtOnce; ++i) {
    OwnFd stream(accept4(listener.stream.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!stream) {
      if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
      LOG_WARN("soft: cannot take a connection: %s", errno_text(errno));
      unwatch(listener.stream.get());
      return set_deadline(listener, kScarcityPause);
    }
    if (greetings_.size() == kMostGreetings) {
      const uint64_t oldest = *greetings_.begin();
      gone(oldest, conversations_.at(oldest));
    }
    const uint64_t incoming = next_serial();
    if (watch(incoming, stream.get(), EPOLLIN) != 0) continue;
    Conversation& one = conversations_[incoming];
    one.state = State::kGreeting;
    one.orphaned = true;
    one.listener = serial;
    one.local = name_of(stream.get());
    one.peer = peer_of(stream.get());
    tune(stream.get(), one.local, one.peer);
    one.stream = std::move(stream);
    greetings_.insert(incoming);
    set_deadline(one, kGreetingLimit);
  }
}

int SoftConnectionManager::resolve(uint64_t serial, const sockaddr* peer) noexcept {
  const std::lock_guard lock(mutex_);
  Conversation* one = find(serial);
  if (one == nullptr || one->state != State::kNew) return -EINVAL;
  std::memcpy(&one->peer, peer, size_of(peer));
  if (one->local.ss_family == AF_UNSPEC) {
    if (const int error = source_for(peer, one->local)) {
      one->peer = {};
      return -error;
    }
  }
  one->resolved = true;
  tell(Kind::kResolved, serial);
  return 0;
}

int SoftConnectionManager::connect(uint64_t serial, std::span<const std::byte> data) noexcept {
  const std::lock_guard lock(mutex_);
  Conversation* one = find(serial);
  if (one == nullptr || one->state != State::kNew || !one->resolved || one->pair == nullptr ||
      data.size() > Greeting::kMostData) {
    return -EINVAL;
  }
  if (!one->stream) {
    if (const int error = open_stream(*one, one->peer.ss_family)) return error;
  }
  set_option(one->stream.get(), SOL_SOCKET, SO_REUSEADDR);
  try {
    one->greeting = encode_greeting({Greeting::Kind::kRequest, one->pair->number(), 0}, data);
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
  const auto* to = reinterpret_cast<const sockaddr*>(&one->peer);
  if (::connect(one->stream.get(), to, size_of(to)) != 0 && errno != EINPROGRESS) return -errno;
  if (watch(serial, one->stream.get(), EPOLLOUT) != 0) return -errno;
  one->state = State::kReaching;
  return 0;
}

void SoftConnectionManager::finish_reaching(uint64_t serial, Conversation& one) {
  const int fd = one.stream.get();
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  one.local = name_of(fd);
  tune(fd, one.local, one.peer);
  // TCP connects a socket to itself when the port that it is given is the one that it asks for.
  if (error == 0 && same(one.local, peer_of(fd))) error = ECONNREFUSED;
  if (error == 0) {
    const auto bytes = static_cast<ssize_t>(one.greeting.size());
    if (send(fd, one.greeting.data(), one.greeting.size(), MSG_NOSIGNAL) != bytes) {
      error = ECONNREFUSED;
    }
  }
  if (error != 0) return refused(serial, one, error, {});
  one.greeting.clear();
  one.state = State::kAsking;
  watch(serial, fd, EPOLLIN);
}

// As far as it has come, and not a byte more: what follows is for the queue pair.
void SoftConnectionManager::read_greeting(uint64_t serial, Conversation& one) {
  Greeting greeting;
  for (;;) {
    size_t whole = Greeting::kSize;
    if (one.greeting.size() >= whole) {
      if (!decode_greeting(one.greeting.data(), greeting)) break;
      whole += greeting.data_size;
    }
    const size_t have = one.greeting.size();
    if (have == whole) {
      const auto* data = reinterpret_cast<const std::byte*>(one.greeting.data());
      one.peer_number = greeting.queue_pair;
      return greeting_came(serial, one, greeting.kind, {data + Greeting::kSize, data + whole});
    }
    char bytes[Greeting::kSize + Greeting::kMostData];
    const ssize_t n = recv(one.stream.get(), bytes, whole - have, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) break;
    one.greeting.insert(one.greeting.end(), bytes, bytes + n);
  }
  if (one.state == State::kGreeting) return gone(serial, one);
  refused(serial, one, ECONNREFUSED, {});
}

void SoftConnectionManager::greeting_came(uint64_t serial, Conversation& one, Greeting::Kind kind,
                                          std::vector<std::byte> data) {
  if (one.state == State::kAsking) {
    if (kind == Greeting::Kind::kRequest) return refused(serial, one, ECONNREFUSED, {});
    if (kind == Greeting::Kind::kReject) return refused(serial, one, ECONNREFUSED, std::move(data));
    unwatch(one.stream.get());
    one.state = State::kConnected;
    if (one.pair->start(std::move(one.stream), one.peer_number, true) != 0) {
      return refused(serial, one, ENOMEM, {});
    }
    // Another thread polls it already, and may have heard of its end.
    ConnectionEvent event{Kind::kEstablished, serial};
    event.data = std::move(data);
    return tell_first(std::move(event));
  }
  const Conversation* listener = find(one.listener);
  if (kind != Greeting::Kind::kRequest || listener == nullptr ||
      listener->state != State::kListening) {
    return gone(serial, one);
  }
  greetings_.erase(serial);
  one.state = State::kAsked;
  one.orphaned = false;
  one.resolved = true;
  one.deadline = kNever;
  watch(serial, one.stream.get(), EPOLLIN | EPOLLRDHUP);
  // The endpoint takes the lock when it goes: nothing may fail from where it is made.
  std::list<ConnectionEvent> events(1);
  events.front().kind = Kind::kRequest;
  events.front().endpoint = one.listener;
  events.front().data = std::move(data);
  events.front().incoming = std::make_unique<SoftEndpoint>(*this, device_, serial);
  tell(std::move(events));
}

void SoftConnectionManager::refused(uint64_t serial, Conversation& one, int error,
                                    std::vector<std::byte> data) {
  const bool by_peer = error == ECONNREFUSED || error == ECONNRESET;
  if (error == ENETUNREACH || error == EACCES) error = EHOSTUNREACH;  // EACCES: a broadcast
  gone(serial, one);
  tell(by_peer ? Kind::kRefused : Kind::kFailed, serial, by_peer ? ECONNREFUSED : error,
       std::move(data));
}

std::unique_ptr<QueuePair> SoftConnectionManager::create_queue_pair(uint64_t serial,
                                                                    CompletionQueue& queue,
                                                                    const QueueSizes& sizes) {
  const DeviceLimits& limits = device_.limits();
  if (sizes.send_wr > limits.max_qp_wr || sizes.recv_wr > limits.max_qp_wr ||
      sizes.send_sge > limits.max_sge) {
    throw_errno(EINVAL, "sizes of a queue pair");
  }
  auto pair = std::make_unique<SoftQueuePair>(*this, serial, device_.memory(),
                                              static_cast<SoftCompletionQueue&>(queue), sizes);
  int error = 0;
  {
    const std::lock_guard lock(mutex_);
    Conversation* one = find(serial);
    if (one == nullptr || one->pair != nullptr) {
      error = EINVAL;
    } else if (one->state == State::kGone) {
      error = ECONNABORTED;
    } else {
      one->pair = pair.get();
    }
  }
  if (error != 0) throw_errno(error, "a queue pair for a connection");
  return pair;
}

std::unique_ptr<SecondQueuePair> SoftConnectionManager::create_second_pair(
    uint64_t serial, CompletionQueue& queue, const QueueSizes& sizes) {
  const std::lock_guard lock(mutex_);
  Conversation* one = find(serial);
  if (one == nullptr || one->pair == nullptr) throw_errno(EINVAL, "a second queue pair");
  return one->pair->create_second(static_cast<SoftCompletionQueue&>(queue), sizes);
}

int SoftConnectionManager::accept(uint64_t serial, std::span<const std::byte> data) noexcept {
  const std::lock_guard lock(mutex_);
  Conversation* one = find(serial);
  if (one == nullptr || data.size() > Greeting::kMostData) return -EINVAL;
  if (one->state == State::kGone) return -ECONNABORTED;
  if (one->state != State::kAsked || one->pair == nullptr) return -EINVAL;
  if (!answer(*one, {Greeting::Kind::kAccept, one->pair->number(), 0}, data)) {
    gone(serial, *one);
    return -ECONNABORTED;
  }
  unwatch(one->stream.get());
  one->state = State::kConnected;
  const int error = one->pair->start(std::move(one->stream), one->peer_number, false);
  if (error != 0) {
    gone(serial, *one);
  } else {
    set_deadline(*one, kReadyLimit);
  }
  return error;
}

int SoftConnectionManager::reject(uint64_t serial, std::span<const std::byte> data) noexcept {
  const std::lock_guard lock(mutex_);
  Conversation* one = find(serial);
  if (one == nullptr || one->state != State::kAsked) return -EINVAL;
  if (data.size() <= Greeting::kMostData) answer(*one, {Greeting::Kind::kReject, 0, 0}, data);
  gone(serial, *one);
  return 0;
}

// The stream is new, so that its buffer has room for all of it.
bool SoftConnectionManager::answer(Conversation& one, const Greeting& greeting,
                                   std::span<const std::byte> data) noexcept {
  try {
    const std::vector<char> bytes = encode_greeting(greeting, data);
    return send(one.stream.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  } catch (const std::bad_alloc&) {
    return false;
  }
}

// ---------------------------------------------------------------------------------------- ending

int SoftConnectionManager::disconnect(uint64_t serial) noexcept {
  const std::lock_guard lock(mutex_);
  Conversation* one = find(serial);
  if (one == nullptr || one->state != State::kConnected || one->pair == nullptr) return -EINVAL;
  say_goodbye(serial, *one, one->pair->stop());
  return 0;
}

void SoftConnectionManager::queue_pair_goes(uint64_t serial, const SoftQueuePair* pair) noexcept {
  const std::lock_guard lock(mutex_);
  Conversation* one = find(serial);
  if (one == nullptr || one->pair != pair) return;
  OwnFd stream = one->pair->stop();
  one->pair = nullptr;
  if (one->state == State::kConnected) say_goodbye(serial, *one, std::move(stream));
  // An answer would find nobody.
  if (one->state == State::kReaching || one->state == State::kAsking) gone(serial, *one);
}

// Closing a stream that has something to be read would take back what was sent last.
void SoftConnectionManager::say_goodbye(uint64_t serial, Conversation& one, OwnFd stream) noexcept {
  one.state = State::kLeaving;
  one.stream = std::move(stream);
  ::shutdown(one.stream.get(), SHUT_WR);
  watch(serial, one.stream.get(), EPOLLIN);
  set_deadline(one, kLeavingLimit);
}

// What still comes is dropped, as a queue pair in the error state would.
void SoftConnectionManager::await_goodbye(uint64_t serial, Conversation& one) noexcept {
  char dropped[65'536];
  const ssize_t n = recv(one.stream.get(), dropped, sizeof dropped, 0);
  if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) return;
  if (!one.orphaned) tell(Kind::kDisconnected, serial);
  gone(serial, one);
}

void SoftConnectionManager::close(uint64_t serial) noexcept {
  const std::lock_guard lock(mutex_);
  Conversation* one = find(serial);
  if (one == nullptr) return;
  one->orphaned = true;
  if (one->state != State::kLeaving) gone(serial, *one);
}

}  // namespace sio::internal::provider::soft
