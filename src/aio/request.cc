// SPDX-License-Identifier: BSD-2-Clause
#include "aio/request.h"

#include <array>
#include <cerrno>
#include <mutex>
#include <utility>
#include <vector>

#include "aio/control_block.h"
#include "aio/queue.h"
#include "event/channel.h"
#include "socket/socket.h"

namespace sio::internal {
namespace {

constexpr uint32_t kChunk = 256;
constexpr uint32_t kMostChunks = 4096;  // a million requests

// Filled from the front, never emptied.
std::array<std::atomic<Request*>, kMostChunks> chunks;

std::mutex mutex;
uint32_t chunk_count = 0;  // under the mutex, as what follows
std::vector<Request*>& free_requests() {
  static auto* const all = new std::vector<Request*>;
  return *all;
}

}  // namespace

Request* Request::find(uint64_t handle) noexcept {
  const uint32_t number = static_cast<uint32_t>(handle) - 1;
  if (number >= kChunk * kMostChunks) return nullptr;
  // Acquire: finds the requests made.
  Request* const chunk = chunks[number / kChunk].load(std::memory_order_acquire);
  if (chunk == nullptr) return nullptr;
  Request* const request = &chunk[number % kChunk];
  return request->handle() == handle ? request : nullptr;
}

Request* Request::take() {
  const std::lock_guard lock(mutex);
  std::vector<Request*>& free = free_requests();
  if (free.empty()) {
    if (chunk_count == kMostChunks) throw std::bad_alloc();
    free.reserve(size_t{kChunk} * (chunk_count + 1));  // so that give_back never allocates
    auto* const chunk = new Request[kChunk];
    for (uint32_t i = kChunk; i-- > 0;) {
      chunk[i].number_ = chunk_count * kChunk + i + 1;
      free.push_back(&chunk[i]);
    }
    chunks[chunk_count++].store(chunk, std::memory_order_release);  // as in find()
  }
  Request* const request = free.back();
  free.pop_back();
  return request;
}

void Request::give_back(Request* request) noexcept {
  const std::lock_guard lock(mutex);
  free_requests().push_back(request);
}

// ------------------------------------------------------------------------------------- its uses

void Request::begin(RequestQueue& queue, Channel* channel, aio_cb& block,
                    const Operation& what) noexcept {
  queue_ = &queue;
  channel_ = channel;
  block_ = &block;
  what_ = what;
  notice_ = block.aio_sigevent;
  flight_ = {};
  bytes_ = 0;
  error_ = 0;
  cancelled_ = false;
  ControlBlock(block).begin(handle());
}

void Request::forget() noexcept {
  if (flight_.area != nullptr) Area::end_flight(std::exchange(flight_, {}), false);
  ControlBlock(*block_).forget();
  // Relaxed: who finds it by its old handle asks for the handle again under the lock.
  sequence_.fetch_add(1, std::memory_order_relaxed);
}

int Request::lend() noexcept {
  if (what_.has_message() || what_.length == 0) return 0;
  Area* const area = Area::find(what_.buf);
  return area == nullptr ? 0 : area->begin_flight(what_.buf, what_.length, flight_, false);
}

void Request::set_result(int result) noexcept {
  bytes_ = result < 0 ? 0 : static_cast<size_t>(result);
  error_ = result < 0 ? -result : 0;
}

void Request::end() noexcept {
  if (flight_.area != nullptr) Area::end_flight(std::exchange(flight_, {}), false);
  if (!what_.has_message()) block_->aio_buf = what_.buf;  // another one if a socket gave it
  sequence_.fetch_add(1, std::memory_order_relaxed);      // order: as in forget()
  ControlBlock(*block_).end(bytes_, error_);
}

void Request::fill_in(event_data_t& event) const noexcept {
  event.fd = what_.fd;
  event.error = error_;
  event.cookie = block_;
  event.data.buf = what_.has_message() ? static_cast<void*>(what_.message) : what_.buf;
  event.data.len = bytes_;
  const Area* const area = Area::find(what_.buf);
  event.data.mem = area != nullptr ? area->handle() : nullptr;
}

// ------------------------------------------------------------------------------------ on a socket

// Unless its end comes to the very channel that the socket is in, and where the program therefore
// looks, the socket has to go on without the program's calls.
void Request::enter(Channel& of_socket) noexcept {
  of_socket_ = &of_socket;
  if (of_socket_ != channel_) of_socket_->rely_on(true);
}

void Request::leave() noexcept {
  if (of_socket_ != channel_) of_socket_->rely_on(false);
}

void Request::sent(int error) noexcept {
  set_result(error != 0 ? -error : static_cast<int>(what_.length));
  ended_on_socket();
}

size_t Request::most() const noexcept { return what_.has_message() ? SIZE_MAX : what_.length; }

void Request::received(const Socket& from, void* data, int result) noexcept {
  set_result(result);
  if (what_.has_message() && result >= 0) {
    msghdr& message = *what_.message;
    message.msg_iovlen = data != nullptr ? 1 : 0;
    if (data != nullptr) message.msg_iov[0] = {data, static_cast<size_t>(result)};
    auto* const name = static_cast<sockaddr*>(message.msg_name);
    if (name != nullptr) from.sender_name(name, &message.msg_namelen);
    message.msg_controllen = 0;
    message.msg_flags = MSG_EOR;
  } else if (result >= 0) {
    what_.buf = data;
  }
  ended_on_socket();
}

void Request::ended_on_socket() noexcept {
  leave();
  queue_->conclude(*this, *of_socket_);
}

}  // namespace sio::internal
