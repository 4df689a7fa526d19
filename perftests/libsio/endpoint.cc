// SPDX-License-Identifier: BSD-2-Clause
#include "libsio/endpoint.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "process.h"

namespace sio_perf {
namespace {

constexpr size_t kCopiedMax = 1024;  // above, a copy costs more than an event
constexpr uint64_t kDrainNs = 1'000'000'000;
constexpr uint64_t kNsPerMs = 1'000'000;

[[noreturn]] void gone(int error) {
  throw PeerGone(std::string("the connection failed: ") + std::strerror(error));
}

}  // namespace

SioEndpoint::~SioEndpoint() {
  drain();
  for (void* const block : blocks_) sio_release(area_, block, block_size_);
}

void SioEndpoint::prepare(const Parameters& parameters, const SioMemory& memory, size_t blocks) {
  event_ = parameters.event;
  const int no_spin = 0;
  if (event_ && sio_setsockopt(socket_, SOL_SIO, SIO_SPIN_US, &no_spin, sizeof no_spin) != 0) {
    fail_with_errno("SIO_SPIN_US");
  }
  const int on = 1;
  if (parameters.no_delay && sio_setsockopt(socket_, SOL_SIO, SIO_NODELAY, &on, sizeof on) != 0) {
    fail_with_errno("SIO_NODELAY");
  }
  if (parameters.size <= kCopiedMax) {
    plain_.assign(std::max<size_t>(parameters.size, kConfirmBytes), 0);
    return;
  }
  area_ = memory.sends();
  block_size_ = parameters.size;
  for (size_t i = 0; i < blocks; ++i) {
    void* block = nullptr;
    if (sio_reserve(area_, &block, block_size_) != 0) {
      fail_with_errno("no block to send from", "choose a smaller --tx-depth or -s");
    }
    std::memset(block, 0, block_size_);
    blocks_.push_back(block);
  }
  free_ = blocks_;
}

unsigned char* SioEndpoint::free_block() {
  while (free_.empty()) take_and_handle();
  void* const block = free_.back();
  free_.pop_back();
  return static_cast<unsigned char*>(block);
}

// It was refused.
void SioEndpoint::send_on(const void* from, size_t length) {
  do {
    if (errno == EPIPE || errno == ECONNRESET || errno == ETIMEDOUT) gone(errno);
    if (errno != EAGAIN) fail_with_errno("sio_send of " + std::to_string(length) + " bytes");
    for (writable_ = false; !writable_;) take_and_handle();
  } while (sio_send(socket_, from, length, MSG_DONTWAIT) != 0);
}

bool SioEndpoint::receive_within(event_data_t& message, int timeout_ms) {
  const uint64_t until =
      timeout_ms == 0 ? UINT64_MAX : now_ns() + static_cast<uint64_t>(timeout_ms) * kNsPerMs;
  while (!ended_) {
    if (ec_next_event(channel_, &message) == 0) {
      if (message.kind == EC_RECV) return true;
      handle(message);
    } else if (errno != EAGAIN) {
      fail_with_errno("ec_next_event");
    } else if (timeout_ms == 0) {
      wait();
    } else if (check_stop(); now_ns() > until) {
      throw PeerGone("no message came in time");
    } else {
      timespec tick = {0, 100 * static_cast<long>(kNsPerMs)};
      ec_delay(channel_, &tick);
    }
  }
  return false;
}

std::span<event_data_t> SioEndpoint::take_events(Events& events) {
  while (!ended_) {
    const int count = ec_next_events(channel_, events.data(), static_cast<int>(events.size()));
    if (count > 0) return {events.data(), static_cast<size_t>(count)};
    if (errno != EAGAIN) fail_with_errno("ec_next_events");
    wait();
  }
  return {};
}

void SioEndpoint::handle(const event_data_t& event) {
  switch (event.kind) {
    case EC_SENT:
      free_.push_back(event.data.buf);
      if (event.error != 0) gone(event.error);
      break;
    case EC_WRITABLE:
      writable_ = true;
      break;
    case EC_EOF:
      ended_ = true;
      break;
    case EC_HUP:
      ended_ = true;
      if (event.error != 0) gone(event.error);
      break;
    case EC_RECV:
      release(event);
      throw Failure("a message came that nobody asked for");
    default:
      break;
  }
}

void SioEndpoint::drain() {
  const uint64_t until = now_ns() + kDrainNs;
  event_data_t event;
  while (free_.size() < blocks_.size() && now_ns() < until && !stopping()) {
    if (ec_next_event(channel_, &event) != 0) continue;
    if (event.kind == EC_SENT) free_.push_back(event.data.buf);
    if (event.kind == EC_HUP) break;  // nothing follows
  }
}

void SioEndpoint::not_released() { fail_with_errno("sio_release"); }

void SioEndpoint::wait() {
  check_stop();
  if (event_ && ec_delay(channel_, nullptr) != 0 && errno != EINTR) fail_with_errno("ec_delay");
}

void SioEndpoint::take_and_handle() {
  Events events;
  for (const event_data_t& event : take_events(events)) handle(event);
  if (ended_) throw PeerGone("the other end has closed the connection");
}

}  // namespace sio_perf
