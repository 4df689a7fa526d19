// SPDX-License-Identifier: BSD-2-Clause
#include "socket/datagram_peers.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "socket/datagram_receiver.h"
#include "socket/dispatch.h"
#include "socket/socket_guard.h"

namespace sio::internal {
namespace {

using provider::ConnectionEvent;

// As long as neighbours are believed to be where they were, roughly.
constexpr milliseconds kGoodFor{10'000};
// Somebody who has sent, or is about to, may ask for the error.
constexpr milliseconds kErrorFor{1000};
// Who sends from everywhere is not asked for each time.
constexpr milliseconds kBetweenChecks{1000};

// The device is asked for a way back, which takes no time where the kernel knows its neighbour, and
// a second where nobody is.
constexpr milliseconds kLong{300};
constexpr milliseconds kShortestDoubt{10'000};
constexpr milliseconds kLongestDoubt{1'280'000};

// Whether it may be forgotten for another.
bool may_go(const DatagramPeer& peer) noexcept {
  return !peer.asking && !peer.pinned && peer.waiting == 0;
}

}  // namespace

int error_of_address(int error) noexcept {
  switch (error) {
    case 0:
    case ECONNREFUSED:
    case ETIMEDOUT:
    case ENOMEM:
    case EOPNOTSUPP:  // groups
      return error;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
      return ENOMEM;  // for the question
    default:
      return EHOSTUNREACH;
  }
}

DatagramPeers::DatagramPeers(Socket& socket, Link& link, DatagramReceiver& receiver, uint32_t most)
    : socket_(socket), link_(link), receiver_(receiver), peers_(most) {}

DatagramPeers::~DatagramPeers() { close(); }

void DatagramPeers::open(provider::Endpoint& endpoint, const InetAddress& local,
                         uint32_t timeout_ms) noexcept {
  endpoint_ = &endpoint;
  local_ = local;
  timeout_ms_ = timeout_ms;
}

void DatagramPeers::close() noexcept {
  while (!questions_.empty()) end(questions_.begin());
}

int DatagramPeers::look_up(const InetAddress& address, DatagramPeer*& peer) noexcept {
  peer = peers_.find(address);
  // What was wrong a while ago is nobody's error now.
  if (peer != nullptr && peer->state == DatagramPeer::State::kFailed && peer->waiting == 0 &&
      peer->good_until < Clock::now()) {
    peers_.erase(address);
    peer = nullptr;
  }
  if (peer != nullptr) {
    if (peer->state == DatagramPeer::State::kKnown) check(address, *peer, Clock::now());
    return 0;
  }
  peer = peers_.make(address, may_go);
  if (peer == nullptr) return -EAGAIN;
  if (know_from_source(address, *peer)) return 0;
  if (const int error = ask(address)) {
    peers_.erase(address);
    return error;
  }
  peer->asking = true;
  return 0;
}

bool DatagramPeers::may_ask() const noexcept {
  return questions_.size() < kMostQuestions && peers_.has_room(may_go);
}

// What is heard is believed: where packets say that they come from is where answers go. That the
// port is the sender's own is only its word, so that is asked for when it moves.
bool DatagramPeers::know_from_source(const InetAddress& address, DatagramPeer& peer) noexcept {
  const DatagramSource* source = receiver_.source(address);
  const TimePoint now = Clock::now();
  if (source == nullptr || source->heard + kGoodFor < now || now < believes_again_) return false;
  bool found = true;
  try {
    peer.to = endpoint_->source_of(source->wc, source->grh.data());
  } catch (const std::exception& error) {
    LOG_DEBUG("no way back to a sender: %s", error.what());
    found = false;
  }
  if (Clock::now() - now > kLong) doubt_sources();
  if (!found) return false;
  peer.state = DatagramPeer::State::kKnown;
  peer.good_until = source->heard + kGoodFor;
  return true;
}

// Who sends from addresses where nobody is has us wait for each that is answered. A question takes
// the same time, but nobody waits for it.
void DatagramPeers::doubt_sources() noexcept {
  doubted_for_ = std::clamp(doubted_for_ * 2, kShortestDoubt, kLongestDoubt);
  believes_again_ = Clock::now() + doubted_for_;
}

void DatagramPeers::check(const InetAddress& address, DatagramPeer& peer, TimePoint now) noexcept {
  if (now < peer.good_until || peer.asking || peer.membership != nullptr) return;
  peer.good_until = now + kBetweenChecks;  // unless it is known to be good for longer
  const DatagramSource* source = receiver_.source(address);
  const bool same = source != nullptr && source->queue_pair == peer.to->queue_pair();
  if (same && source->heard + kGoodFor > now) {
    peer.good_until = source->heard + kGoodFor;
    return;
  }
  peer.asking = ask(address) == 0;
}

void DatagramPeers::moved(const InetAddress& address) noexcept {
  DatagramPeer* const peer = peers_.peek(address);
  if (peer == nullptr || peer->state != DatagramPeer::State::kKnown) return;
  const TimePoint now = Clock::now();
  if (peer->asking || now < peer->checked + kBetweenChecks) return;
  peer->checked = now;
  know_from_source(address, *peer);
  peer->asking = ask(address) == 0;
}

int DatagramPeers::take_error(const InetAddress& address, DatagramPeer& peer) noexcept {
  const int error = peer.error;
  if (peer.waiting == 0 && !peer.pinned) peers_.erase(address);
  return error;
}

void DatagramPeers::forget(const InetAddress& address) noexcept {
  const DatagramPeer* const peer = peers_.peek(address);
  if (peer != nullptr && !peer->asking && peer->waiting == 0) peers_.erase(address);
}

// ------------------------------------------------------------------------------------- questions

int DatagramPeers::ask(const InetAddress& address) noexcept {
  if (questions_.size() >= kMostQuestions) return -EAGAIN;
  int error = -ENOMEM;
  auto question = questions_.end();
  try {
    question = questions_.insert(questions_.end(), {address, nullptr});
    error = begin(*question);
  } catch (const std::system_error& failure) {
    error = -failure.code().value();
  } catch (const std::bad_alloc&) {
  }
  if (error == 0) return 0;
  LOG_DEBUG("an address is not looked up: %s", errno_text(-error));
  if (question != questions_.end()) end(question);
  return -error_of_address(-error);
}

// 0 or -errno.
int DatagramPeers::begin(Question& question) {
  ++link_.info.lookups;
  question.endpoint = provider::instance().connections().create_datagram_endpoint();
  const uint64_t serial = question.endpoint->serial();
  dispatch_to(serial, &socket_);
  const sockaddr_storage to = question.address.to_storage();
  const auto* const name = reinterpret_cast<const sockaddr*>(&to);
  const int timeout = static_cast<int>(timeout_ms_);
  // An address that answers nobody is told as such, before the whole time is over.
  const int resolve_time = std::max(1, std::min(3500, timeout / 4 * 3));
  // At our address: datagrams leave from where the question did.
  if (question.address.is_group() || !local_.is_wildcard()) {
    const sockaddr_storage self = local_.with_port(0).to_storage();
    const auto* const own = reinterpret_cast<const sockaddr*>(&self);
    if (const int error = question.endpoint->bind(own, false)) return error;
  }
  if (question.address.is_group()) {
    if (const int error = question.endpoint->join(name, false)) return error;
  } else if (const int error = question.endpoint->resolve(name, resolve_time)) {
    return error;
  }
  const auto late = [socket = &socket_, generation = socket_.generation(), serial] {
    SocketGuard guard = SocketGuard::of(socket, generation);
    if (guard) guard->lookup_timed_out(serial);
  };
  question.limit = ControlThread::instance().at(Clock::now() + milliseconds(timeout), late);
  return 0;
}

void DatagramPeers::end(Questions::iterator question) noexcept {
  ControlThread::instance().cancel(question->limit);
  if (question->endpoint != nullptr) dispatch_to_nobody(question->endpoint->serial());
  questions_.erase(question);
}

bool DatagramPeers::owns(uint64_t serial) const noexcept {
  return std::any_of(questions_.begin(), questions_.end(), [&](const Question& one) {
    return one.endpoint != nullptr && one.endpoint->serial() == serial;
  });
}

// True: the question has ended.
bool DatagramPeers::take_event(ConnectionEvent& event, InetAddress& address) noexcept {
  const auto found = std::find_if(questions_.begin(), questions_.end(), [&](const Question& one) {
    return one.endpoint->serial() == event.endpoint;
  });
  if (found == questions_.end()) return false;
  address = found->address;
  int error = 0;
  if (event.kind == ConnectionEvent::Kind::kResolved) {
    error = -found->endpoint->connect({});
    if (error == 0) return false;
  } else if (event.kind == ConnectionEvent::Kind::kEstablished && event.destination != nullptr) {
    answered(*found, std::move(event.destination));
  } else {
    error = event.error != 0 ? event.error : EHOSTUNREACH;
  }
  end(found);
  if (error != 0) failed(address, error);
  return true;
}

bool DatagramPeers::timed_out(uint64_t serial, InetAddress& address) noexcept {
  const auto found = std::find_if(questions_.begin(), questions_.end(), [&](const Question& one) {
    return one.endpoint->serial() == serial;
  });
  if (found == questions_.end()) return false;
  address = found->address;
  end(found);
  failed(address, ETIMEDOUT);
  return true;
}

void DatagramPeers::answered(Question& question,
                             std::unique_ptr<provider::Destination> to) noexcept {
  DatagramPeer* const peer = peers_.peek(question.address);
  if (peer == nullptr) return;
  peer->asking = false;
  try {
    peer->to = std::move(to);
  } catch (const std::bad_alloc&) {
    return failed(question.address, ENOMEM);
  }
  peer->state = DatagramPeer::State::kKnown;
  peer->good_until = Clock::now() + kGoodFor;
  if (!question.address.is_group()) return;
  dispatch_to_nobody(question.endpoint->serial());
  peer->membership = std::move(question.endpoint);
}

// Of what was known already: a peer that is still heard has only not been found.
void DatagramPeers::failed(const InetAddress& address, int error) noexcept {
  DatagramPeer* const peer = peers_.peek(address);
  if (peer == nullptr) return;
  peer->asking = false;
  LOG_DEBUG("an address is not found: %s", errno_text(error));
  if (peer->state == DatagramPeer::State::kKnown) {
    const DatagramSource* source = receiver_.source(address);
    if (source != nullptr && source->heard + kGoodFor > Clock::now()) {
      peer->good_until = source->heard + kGoodFor;
      return;
    }
  }
  peer->state = DatagramPeer::State::kFailed;
  peer->error = error_of_address(error);
  peer->good_until = Clock::now() + kErrorFor;
  peer->to.reset();
}

}  // namespace sio::internal
