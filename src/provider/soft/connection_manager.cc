// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/connection_manager.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/error.h"
#include "base/log.h"
#include "provider/soft/datagram_endpoint.h"
#include "provider/soft/device.h"
#include "provider/soft/endpoint.h"
#include "provider/soft/queue_pair.h"

namespace sio::internal::provider::soft {
namespace {

using Kind = ConnectionEvent::Kind;

// epoll_event.data of what is no conversation: serials begin at 1 and never get there.
constexpr uint64_t kTold = 0;
constexpr uint64_t kAttendant = ~uint64_t{0};
constexpr uint64_t kLookups = kAttendant - 1;

}  // namespace

SoftConnectionManager::SoftConnectionManager(SoftDevice& device)
    : device_(device),
      epoll_(check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      told_(check_errno(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      lookups_(*this, device.attendant()) {
  check_errno(watch(kTold, told_.get(), EPOLLIN), "epoll_ctl");
  check_errno(watch(kAttendant, device_.attendant().fd(), EPOLLIN), "epoll_ctl");
  check_errno(watch(kLookups, lookups_.fd(), EPOLLIN), "epoll_ctl");
}

SoftConnectionManager::~SoftConnectionManager() = default;

std::unique_ptr<Endpoint> SoftConnectionManager::create_endpoint() {
  return std::make_unique<SoftEndpoint>(*this, device_, open());
}

std::unique_ptr<Endpoint> SoftConnectionManager::create_datagram_endpoint() {
  return std::make_unique<SoftDatagramEndpoint>(*this, lookups_, device_);
}

SoftConnectionManager::Conversation* SoftConnectionManager::find(uint64_t serial) noexcept {
  const auto found = conversations_.find(serial);
  return found == conversations_.end() ? nullptr : &found->second;
}

const SoftConnectionManager::Conversation* SoftConnectionManager::find(
    uint64_t serial) const noexcept {
  const auto found = conversations_.find(serial);
  return found == conversations_.end() ? nullptr : &found->second;
}

// ---------------------------------------------------------------------------------------- events

void SoftConnectionManager::tell(ConnectionEvent event) noexcept {
  try {
    std::list<ConnectionEvent> events;
    events.push_back(std::move(event));
    tell(std::move(events));
  } catch (const std::bad_alloc&) {
    LOG_ERROR("soft: no memory to tell what became of a connection");
  }
}

void SoftConnectionManager::tell(std::list<ConnectionEvent> events) noexcept {
  const std::lock_guard lock(events_mutex_);
  if (events_.empty()) eventfd_write(told_.get(), 1);
  events_.splice(events_.end(), events);
}

void SoftConnectionManager::tell(Kind kind, uint64_t serial, int error,
                                 std::vector<std::byte> data) noexcept {
  ConnectionEvent event{kind, serial};
  event.error = error;
  event.data = std::move(data);
  tell(std::move(event));
}

void SoftConnectionManager::tell_first(ConnectionEvent event) noexcept {
  try {
    const std::lock_guard lock(events_mutex_);
    events_.push_front(std::move(event));
    if (events_.size() == 1) eventfd_write(told_.get(), 1);
  } catch (const std::bad_alloc&) {
    LOG_ERROR("soft: no memory to tell that a connection stands");
  }
}

bool SoftConnectionManager::take_told(ConnectionEvent& event) {
  std::unique_lock lock(events_mutex_);
  if (events_.empty()) return false;
  event = std::move(events_.front());
  events_.pop_front();
  if (events_.empty()) {
    eventfd_t count;
    eventfd_read(told_.get(), &count);
  }
  lock.unlock();
  if (event.kind == Kind::kEstablished) established(event.endpoint);
  return true;
}

// The peer need not hurry any more.
void SoftConnectionManager::established(uint64_t serial) noexcept {
  const std::lock_guard lock(mutex_);
  Conversation* one = find(serial);
  if (one != nullptr && one->state == State::kConnected) one->deadline = kNever;
}

bool SoftConnectionManager::next_event(ConnectionEvent& event) {
  if (take_told(event)) return true;
  constexpr int kMost = 64;
  epoll_event ready[kMost];
  const int n = epoll_wait(epoll_.get(), ready, kMost, 0);
  for (int i = 0; i < n; ++i) {
    const uint64_t serial = ready[i].data.u64;
    if (serial == kAttendant) {
      device_.attendant().run([this] {
        const bool asking = lookups_.tick();
        return end_what_is_late() || asking;
      });
    } else if (serial == kLookups) {
      lookups_.take_answers();
    } else if (serial != kTold) {
      const std::lock_guard lock(mutex_);
      look_at(serial);
    }
  }
  return take_told(event);
}

int SoftConnectionManager::watch(uint64_t serial, int fd, uint32_t events) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.u64 = serial;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0) return 0;
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void SoftConnectionManager::unwatch(int fd) noexcept {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void SoftConnectionManager::look_at(uint64_t serial) {
  Conversation* one = find(serial);
  if (one == nullptr) return;
  switch (one->state) {
    case State::kListening:
      return take_connections(serial, *one);
    case State::kReaching:
      return finish_reaching(serial, *one);
    case State::kAsking:
    case State::kGreeting:
      return read_greeting(serial, *one);
    case State::kAsked:  // it was to wait for our answer: it has given up, or breaks the rules
      tell(Kind::kDisconnected, serial);
      return gone(serial, *one);
    case State::kLeaving:
      return await_goodbye(serial, *one);
    case State::kNew:
    case State::kConnected:
    case State::kGone:
      return;
  }
}

// Greetings that do not come, goodbyes that do not come, and listeners that rest. True: there is
// still something to wait for.
bool SoftConnectionManager::end_what_is_late() noexcept {
  const std::lock_guard lock(mutex_);
  const TimePoint now = Clock::now();
  bool waiting = false;
  for (auto it = conversations_.begin(); it != conversations_.end();) {
    const uint64_t serial = it->first;
    Conversation& one = (it++)->second;  // may go
    if (one.deadline > now) {
      waiting |= one.deadline != kNever;
      continue;
    }
    one.deadline = kNever;
    is_late(serial, one);
  }
  return waiting;
}

void SoftConnectionManager::is_late(uint64_t serial, Conversation& one) noexcept {
  if (one.state == State::kListening) {
    watch(serial, one.stream.get(), EPOLLIN);
    return;
  }
  if (one.state == State::kConnected) {  // and not ready
    if (one.pair == nullptr || one.pair->heard()) return;
    tell(Kind::kFailed, serial, ETIMEDOUT);
    return say_goodbye(serial, one, one.pair->stop());
  }
  if (one.state == State::kLeaving) tell(Kind::kDisconnected, serial);
  gone(serial, one);
}

void SoftConnectionManager::set_deadline(Conversation& one, milliseconds limit) noexcept {
  one.deadline = Clock::now() + limit;
  device_.attendant().start_ticking();
}

// Nothing is left of the connection; of the conversation only what an endpoint may ask for.
void SoftConnectionManager::gone(uint64_t serial, Conversation& one) noexcept {
  greetings_.erase(serial);
  one.state = State::kGone;
  one.deadline = kNever;
  if (one.stream) {
    // A forked child has the stream too, so that closing alone would end nothing.
    unwatch(one.stream.get());
    ::shutdown(one.stream.get(), SHUT_RDWR);
    one.stream.reset();
  }
  if (one.orphaned) conversations_.erase(serial);
}

// ------------------------------------------------------------------------------------- questions

sockaddr_storage SoftConnectionManager::local_address(uint64_t serial) const noexcept {
  const std::lock_guard lock(mutex_);
  const Conversation* one = find(serial);
  return one == nullptr ? sockaddr_storage{} : one->local;
}

sockaddr_storage SoftConnectionManager::peer_address(uint64_t serial) const noexcept {
  const std::lock_guard lock(mutex_);
  const Conversation* one = find(serial);
  return one == nullptr ? sockaddr_storage{} : one->peer;
}

bool SoftConnectionManager::has_device(uint64_t serial) const noexcept {
  const std::lock_guard lock(mutex_);
  const Conversation* one = find(serial);
  return one != nullptr && one->resolved;
}

}  // namespace sio::internal::provider::soft
