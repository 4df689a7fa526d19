// SPDX-License-Identifier: BSD-2-Clause
//
// What a program receives, is told of, and gives back.
#include <algorithm>
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
  if (socket_ >= 0) take_messages(most, (how & 16) != 0 ? 0 : MSG_DONTWAIT);
}

void Program::take_events(unsigned most) {
  event_data_t event;
  while (most-- > 0 && held_.size() < kMostHeld && ec_next_event(channel_, &event) == 0)
    take(event);
}

void Program::take(const event_data_t& event) {
  MUST(event.cookie == this);
  if (event.kind == EC_SENT) return take_outcome(event);
  MUST(event.fd == socket_ || event.fd == listener_);
  if (event.fd == listener_) return;
  MUST(!hup_);  // nothing follows
  hup_ = event.kind == EC_HUP;
  if (event.kind == EC_RECV) {
    MUST(!over_);
    received(event.data.buf, event.data.len);
  }
  over_ |= event.kind == EC_EOF || event.kind == EC_HUP;
  if (event.kind == EC_READABLE) take_messages(UINT32_MAX, MSG_DONTWAIT);
}

void Program::take_outcome(const event_data_t& event) {
  if (const auto found = lent_.find(event.data.buf); found != lent_.end()) {
    MUST(found->second.front().iov_len == event.data.len);
    MUST(release(found->second));
    lent_.erase(found);
    return;
  }
  const auto held = std::find_if(held_.begin(), held_.end(), [&](const Held& one) {
    return one.message->at == event.data.buf && one.flights > 0;
  });
  MUST(held != held_.end());  // an outcome of nothing, or one too many
  --held->flights;
  erase_released();
}

void Program::take_messages(unsigned most, int flags) {
  void* data;
  int n;
  while (most-- > 0 && held_.size() < kMostHeld && socket_ >= 0 &&
         (n = sio_recv(socket_, &data, SIZE_MAX, flags)) >= 0) {
    if (data == nullptr) return;
    received(data, static_cast<size_t>(n));
  }
}

void Program::received(void* data, size_t size) {
  std::deque<std::shared_ptr<Incoming>>& expected = talk_->incoming;
  MUST(!expected.empty() && expected.front()->is_whole());
  MUST(expected.front()->at == data && expected.front()->length == size);
  held_.push_back({std::move(expected.front()), talk_});
  expected.pop_front();
  MUST(std::memcmp(data, held_.back().message->bytes.data(), size) == 0);
}

void Program::release_one() {
  const uint32_t which = input_.byte();
  if (which >= 128 && !joined_ && !lent_.empty()) {
    // All of it, or nothing yet.
    const std::vector<iovec> pieces = lent_.begin()->second;
    if (sio_release(nullptr, pieces[0].iov_base, pieces[0].iov_len) != 0) return;
    MUST(release({pieces.begin() + 1, pieces.end()}));
    lent_.erase(pieces[0].iov_base);
  } else if (!held_.empty()) {
    try_release(held_[which % held_.size()]);
    erase_released();
  }
}

// Refused only while it is in flight. Until then it stays as it came.
bool Program::try_release(Held& held) {
  if (held.released) return true;
  const auto& [at, bytes, length] = *held.message;
  MUST(std::memcmp(at, bytes.data(), length) == 0);
  held.released = sio_release(nullptr, const_cast<char*>(at), length) == 0;
  MUST(held.released || errno == EINVAL);
  return held.released;
}

// Those whose outcomes are all told.
void Program::erase_released() {
  std::erase_if(held_, [](const Held& held) { return held.released && held.flights == 0; });
}

}  // namespace sio::test
