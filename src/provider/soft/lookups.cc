// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/lookups.h"

#include <sys/epoll.h>
#include <sys/random.h>

#include "base/error.h"
#include "provider/soft/addresses.h"
#include "provider/soft/attendant.h"
#include "provider/soft/connection_manager.h"

namespace sio::internal::provider::soft {
namespace {

using EventKind = ConnectionEvent::Kind;

constexpr milliseconds kAgainAfter{200};
constexpr milliseconds kLimit{5000};

}  // namespace

Lookups::Lookups(SoftConnectionManager& manager, Attendant& attendant)
    : manager_(manager),
      attendant_(attendant),
      epoll_(check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {}

// The socket is connected, so that it hears nobody else, and hears of a port where nobody is.
int Lookups::begin(uint64_t serial, const sockaddr_storage& peer,
                   const sockaddr_storage& from) noexcept {
  const auto* to = reinterpret_cast<const sockaddr*>(&peer);
  Lookup one;
  one.socket.reset(::socket(peer.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!one.socket) return -errno;
  const sockaddr_storage name = without_port(from);
  const auto* self = reinterpret_cast<const sockaddr*>(&name);
  if (::bind(one.socket.get(), self, size_of(self)) != 0) return -errno;
  if (::connect(one.socket.get(), to, size_of(to)) != 0) return -errno;
  // Who can not see the question can not answer it.
  if (getrandom(&one.token, sizeof one.token, 0) != sizeof one.token) return -errno;
  one.peer = peer;
  one.limit = Clock::now() + kLimit;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = serial;
  try {
    const std::lock_guard lock(mutex_);
    const auto [place, fresh] = lookups_.try_emplace(serial, std::move(one));
    if (!fresh) return -EINVAL;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, place->second.socket.get(), &event) != 0) {
      const int error = errno;
      lookups_.erase(place);
      return -error;
    }
    ask(place->second);
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
  attendant_.start_ticking();
  return 0;
}

void Lookups::end(uint64_t serial) noexcept {
  const std::lock_guard lock(mutex_);
  lookups_.erase(serial);
}

void Lookups::ask(Lookup& one) noexcept {
  DatagramHeader header;
  header.kind = DatagramHeader::Kind::kWho;
  header.immediate = one.token;
  const DatagramBytes bytes = encode(header);
  send(one.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  one.again = Clock::now() + kAgainAfter;
}

void Lookups::take_answers() {
  constexpr int kMost = 64;
  epoll_event ready[kMost];
  const int n = epoll_wait(epoll_.get(), ready, kMost, 0);
  const std::lock_guard lock(mutex_);
  for (int i = 0; i < n; ++i) take_answer(ready[i].data.u64);
}

void Lookups::take_answer(uint64_t serial) {
  const auto found = lookups_.find(serial);
  if (found == lookups_.end()) return;
  const Lookup& one = found->second;
  DatagramBytes bytes;
  const ssize_t n = recv(one.socket.get(), bytes.data(), bytes.size(), 0);
  if (n < 0) {
    if (errno != EAGAIN && errno != EINTR) failed(serial, errno);
    return;
  }
  DatagramHeader header;
  if (n != bytes.size() || !decode(bytes, header) || header.immediate != one.token ||
      header.kind != DatagramHeader::Kind::kHere) {
    return;
  }
  if (header.source == 0) return failed(serial, ECONNREFUSED);
  ConnectionEvent event{EventKind::kEstablished, serial};
  event.destination = std::make_unique<SoftDestination>(one.peer, header.source);
  lookups_.erase(found);
  manager_.tell(std::move(event));
}

void Lookups::failed(uint64_t serial, int error) {
  lookups_.erase(serial);
  manager_.tell(error == ECONNREFUSED ? EventKind::kRefused : EventKind::kFailed, serial, error);
}

bool Lookups::tick() {
  const std::lock_guard lock(mutex_);
  const TimePoint now = Clock::now();
  for (auto it = lookups_.begin(); it != lookups_.end();) {
    const uint64_t serial = it->first;
    Lookup& one = (it++)->second;  // may go
    if (one.limit <= now) {
      failed(serial, ETIMEDOUT);
    } else if (one.again <= now) {
      ask(one);
    }
  }
  return !lookups_.empty();
}

}  // namespace sio::internal::provider::soft
