// SPDX-License-Identifier: BSD-2-Clause
#include "aio/queue.h"

#include <cerrno>

#include "aio/requests.h"
#include "aio/suspension.h"

namespace sio::internal {

RequestQueue::~RequestQueue() {
  free_.clear_and_dispose([](Completion* one) { Request::give_back(static_cast<Request*>(one)); });
}

Request* RequestQueue::begin(aio_cb& block, const Operation& what) {
  if (counted_ == AIO_CB_MAX) return nullptr;
  if (free_.empty()) free_.push_back(*Request::take());
  auto& request = static_cast<Request&>(free_.front());
  free_.pop_front();
  ++counted_;
  ++under_way_;
  request.begin(*this, channel_, block, what);
  return &request;
}

void RequestQueue::forget(Request& request) noexcept {
  request.forget();
  --under_way_;
  recycle(request);
}

void RequestQueue::recycle(Request& request) noexcept {
  --counted_;
  free_.push_front(request);
}

void RequestQueue::open_ring() {
  if (ring_) return;
  ring_.emplace(AIO_CB_MAX, ring_to_join());
  try {
    watch(ring_->fd());
  } catch (...) {
    ring_.reset();
    throw;
  }
}

int RequestQueue::start(aio_cb& block, const Operation& what) {
  open_ring();
  Request* const request = begin(block, what);
  if (request == nullptr) return -EAGAIN;
  const int result = request->lend();
  if (result == 0) {
    ring_->submit(what, request->handle());
  } else {
    forget(*request);
  }
  return result;
}

void RequestQueue::cancel(uint64_t handle) noexcept {
  Request* const request = Request::find(handle);
  if (request == nullptr || request->queue() != this || !ring_) return;
  if (request->ask_to_cancel()) ring_->cancel(handle);
}

bool RequestQueue::take_ended() noexcept {
  if (!ring_) return false;
  bool any = false;
  const auto ended = [&](uint64_t handle, int result) {
    Request* const request = Request::find(handle);
    request->set_result(result);
    end(*request);
    any = true;
  };
  // The operation was just being woken, and may yet find that there is nothing for it.
  const auto missed = [&](uint64_t handle) {
    Request* const request = Request::find(handle);
    if (request == nullptr || request->queue() != this) return;
    request->may_ask_again();
    cancel_later(handle, channel_);
  };
  ring_->take(ended, missed);
  return any;
}

void RequestQueue::end(Request& request) noexcept {
  --under_way_;
  request.end();
  tell(request);
  Suspension::wake_all();
}

}  // namespace sio::internal
