// SPDX-License-Identifier: BSD-2-Clause
//
// What a program receives, is told of, and gives back.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "must.h"
#include "program.h"

namespace sio::test {
namespace {

constexpr size_t kMostHeld = 24;

}  // namespace

void Program::receive() {
  const uint32_t how = input_.byte();
  const unsigned most = 1 + (how & 15);
  if (joined_) return take_events(most);
  if (now_->socket >= 0) take_messages(most, (how & 16) != 0 ? 0 : MSG_DONTWAIT);
}

void Program::take_events(unsigned most) {
  event_data_t event;
  while (most-- > 0 && held_.size() < kMostHeld && ec_next_event(channel_, &event) == 0)
    take(event);
}

void Program::take(const event_data_t& event) {
  if (event.kind == EC_AIO) return take_end(event);
  MUST(event.cookie == this);
  if (event.kind == EC_SENT) return take_outcome(event);
  if (event.fd == listener_) return;
  Connection* const before = now_;
  now_ = std::find_if(connections_.begin(), connections_.end(),
                      [&](const Connection& one) { return one.socket == event.fd; });
  MUST(now_ != connections_.end());
  MUST(!now_->hup);  // nothing follows
  now_->hup = event.kind == EC_HUP;
  if (event.kind == EC_RECV) {
    MUST(!now_->over);
    received(now_->talk, event.data.buf, event.data.len);
  }
  if (event.kind == EC_EOF) at_end();
  now_->over |= event.kind == EC_EOF || event.kind == EC_HUP;
  if (event.kind == EC_READABLE) take_messages(UINT32_MAX, MSG_DONTWAIT);
  now_ = before;
}

void Program::take_outcome(const event_data_t& event) {
  if (const auto found = lent_.find(event.data.buf); found != lent_.end()) {
    const auto& [pieces, talk, number] = found->second;
    MUST(pieces.front().iov_len == event.data.len);
    MUST(event.error != 0 || talk->left > number);
    MUST(release(pieces));
    lent_.erase(found);
    return;
  }
  for (Held& held : held_) {
    const auto flight = std::find(held.flights.begin(), held.flights.end(), event.data.buf);
    if (flight == held.flights.end()) continue;
    held.flights.erase(flight);
    return erase_released();
  }
  MUST(false && "an outcome of nothing, or one too many");
}

void Program::take_messages(unsigned most, int flags) {
  void* data;
  int n;
  while (most-- > 0 && held_.size() < kMostHeld && now_->socket >= 0 &&
         (n = sio_recv(now_->socket, &data, SIZE_MAX, flags)) >= 0) {
    account();
    if (data == nullptr) return at_end();
    received(now_->talk, data, static_cast<size_t>(n));
  }
}

// The peer sends no more, and nothing that it has sent is missing.
void Program::at_end() {
  account();
  MUST(now_->read_shut || now_->talk->incoming.empty());
}

// So many bytes at most, or a look at these.
void Program::receive_some() {
  const uint32_t how = input_.word();
  const size_t most = how % 700;
  const int flags = MSG_DONTWAIT | (how >= 0xc000 ? MSG_PEEK : 0);
  if (now_->socket < 0 || held_.size() >= kMostHeld) return;
  void* data = nullptr;
  const int n = sio_recv(now_->socket, &data, most, flags);
  const int error = errno;
  account();
  const bool too_long = n < 0 && error == EMSGSIZE;
  if (too_long) MUST(!stream_ && now_->talk->incoming.front()->length > most);
  if (n < 0) return;
  if (data == nullptr) return at_end();
  const auto size = static_cast<size_t>(n);
  MUST(size <= most);
  if ((flags & MSG_PEEK) == 0 && (!stream_ || size > 0)) return received(now_->talk, data, size);
  MUST(!now_->talk->incoming.empty());
  const Incoming& first = *now_->talk->incoming.front();
  MUST(data == first.at + now_->talk->taken && size <= first.length - now_->talk->taken);
  MUST(stream_ || size == first.length);
  MUST(std::memcmp(data, first.bytes.data() + now_->talk->taken, size) == 0);
}

void Program::receive_pieces() {
  const uint32_t how = input_.byte();
  if (now_->socket < 0 || held_.size() >= kMostHeld) return;
  std::array<iovec, 4> pieces;
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = 1 + how % pieces.size();
  const void* at = &message;
  const int n = sio_recvmsg(now_->socket, &at, sizeof message, MSG_DONTWAIT);
  account();
  if (n < 0) return;
  if (message.msg_iovlen == 0) return at_end();
  MUST(stream_ || message.msg_iovlen == 1);
  size_t total = 0;
  for (size_t i = 0; i < message.msg_iovlen; ++i) {
    total += pieces[i].iov_len;
    received(now_->talk, pieces[i].iov_base, pieces[i].iov_len);
  }
  MUST(total == static_cast<size_t>(n));
}

void Program::received(const std::shared_ptr<Talk>& talk, const void* data, size_t size) {
  MUST(!talk->incoming.empty() && talk->incoming.front()->is_whole());
  const Incoming& first = *talk->incoming.front();
  MUST(data == first.at + talk->taken && size <= first.length - talk->taken);
  MUST(stream_ ? size > 0 : size == first.length);
  MUST(std::memcmp(data, first.bytes.data() + talk->taken, size) == 0);
  hold(talk, size);
  talk->taken += size;
  if (talk->taken < first.length) return;
  talk->taken = 0;
  talk->incoming.pop_front();
}

// The next bytes of what is coming in.
void Program::hold(const std::shared_ptr<Talk>& talk, size_t size) {
  const std::shared_ptr<Incoming>& message = talk->incoming.front();
  const auto held = std::find_if(held_.begin(), held_.end(), [&](const Held& one) {
    return one.message == message && !one.released;
  });
  if (held != held_.end()) {
    MUST(held->end == talk->taken);
    held->end += size;
  } else {
    held_.push_back({message, talk, talk->taken, talk->taken + size, false, {}});
  }
}

void Program::release_one() {
  const uint32_t which = input_.byte();
  if (which >= 128 && !joined_ && !lent_.empty()) {
    // All of it, or nothing yet.
    const std::vector<iovec> pieces = lent_.begin()->second.pieces;
    if (sio_release(nullptr, pieces[0].iov_base, pieces[0].iov_len) != 0) return;
    MUST(release({pieces.begin() + 1, pieces.end()}));
    lent_.erase(pieces[0].iov_base);
  } else if (!held_.empty()) {
    try_release(held_[which % held_.size()]);
    erase_released();
  }
}

// Of a stream any number of bytes from the front.
void Program::release_some() {
  const uint32_t which = input_.byte();
  const size_t wish = input_.byte();
  if (!stream_ || held_.empty()) return;
  Held& held = held_[which % held_.size()];
  const size_t n = 1 + wish * 8;
  if (held.released || n >= held.size()) return;
  if (sio_release(area_, const_cast<char*>(held.at()), n) == 0) held.front += n;
}

// Refused only while it is in flight. Until then it stays as it came.
bool Program::try_release(Held& held) {
  if (held.released) return true;
  MUST(std::memcmp(held.at(), held.message->bytes.data() + held.front, held.size()) == 0);
  held.released = sio_release(nullptr, const_cast<char*>(held.at()), held.size()) == 0;
  MUST(held.released || errno == EINVAL);
  return held.released;
}

// Those whose outcomes are all told.
void Program::erase_released() {
  std::erase_if(held_, [](const Held& held) { return held.released && held.flights.empty(); });
}

}  // namespace sio::test
