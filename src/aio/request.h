// SPDX-License-Identifier: BSD-2-Clause
//
// A request, from the call that queues it until its end was told.
//
// 1. Request objects are never freed, only reused. A handle (number and sequence) names one use of
//    one; it stands in the program's struct aio_cb, and comes back with the kernel's completion.
// 2. It is a queue's (queue.h), whose lock guards it. While a socket has it, it is used under that
//    socket's channel's lock; then it goes back to its queue, by a way on which no two channels'
//    locks are held at once.
// 3. The struct aio_cb is read by the call that queues the request, and written by its end.
//    What the event says of it is kept here.
#pragma once

#include <sio/aio.h>

#include <atomic>
#include <cstdint>
#include <utility>

#include "aio/operation.h"
#include "memory/area.h"
#include "socket/completion.h"

namespace sio::internal {

class Channel;
class RequestQueue;

class Request final : public Completion {
 public:
  // NULL: no such request, or it has ended. Any thread; who holds its queue's lock finds it stay.
  static Request* find(uint64_t handle) noexcept;
  // Throws std::bad_alloc. It is given back for other queues to take.
  static Request* take();
  static void give_back(Request* request) noexcept;

  uint64_t handle() const noexcept {
    return uint64_t{sequence_.load(std::memory_order_relaxed)} << 32 | number_;
  }
  RequestQueue* queue() const noexcept { return queue_; }
  // The channel of its queue; NULL: its queue has none.
  Channel* channel() const noexcept { return channel_; }

  // A new use of it. The rest is of that use.
  void begin(RequestQueue& queue, Channel* channel, aio_cb& block, const Operation& what) noexcept;
  void forget() noexcept;  // it was not queued; the program's struct aio_cb is the caller's to mend
  // The memory that the kernel is to use lies in an area: 0 or -errno.
  int lend() noexcept;
  // The end, for the program's struct aio_cb, and for the memory that was lent.
  void end() noexcept;
  void set_result(int result) noexcept;  // as of a system call: bytes or -errno
  // One cancellation at a time: false if one is on its way.
  bool ask_to_cancel() noexcept { return !std::exchange(cancelled_, true); }
  void may_ask_again() noexcept { cancelled_ = false; }

  // What is told of it.
  const sigevent& notice() const noexcept { return notice_; }
  void fill_in(event_data_t& event) const noexcept;

  // On a socket whose channel is `of_socket`, and locked: from now on until its end.
  void enter(Channel& of_socket) noexcept;
  void leave() noexcept;  // it was not queued there
  const Operation& what() const noexcept { return what_; }
  void sent(int error) noexcept override;
  size_t most() const noexcept override;
  void received(const Socket& from, void* data, int result) noexcept override;

 private:
  Request() = default;

  void ended_on_socket() noexcept;

  uint32_t number_ = 0;  // from 1, so that no handle is 0
  std::atomic<uint32_t> sequence_{1};
  RequestQueue* queue_ = nullptr;
  Channel* channel_ = nullptr;
  Channel* of_socket_ = nullptr;
  aio_cb* block_ = nullptr;
  Operation what_{};
  sigevent notice_{};
  Flight flight_{};  // area NULL: nothing was lent to the kernel
  size_t bytes_ = 0;
  int error_ = 0;
  bool cancelled_ = false;
};

}  // namespace sio::internal
