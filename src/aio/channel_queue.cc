// SPDX-License-Identifier: BSD-2-Clause
#include "aio/channel_queue.h"

#include "aio/loose_queue.h"

namespace sio::internal {

ChannelQueue& ChannelQueue::of(Channel& channel) {
  if (channel.requests() == nullptr) {
    channel.set_requests(std::make_unique<ChannelQueue>(channel));
  }
  return static_cast<ChannelQueue&>(*channel.requests());
}

// None is under way: events that nobody will take do not hold up the end of a channel.
ChannelQueue::~ChannelQueue() {
  while (!ended_.empty()) {
    auto& request = static_cast<Request&>(ended_.front());
    ended_.pop_front();
    recycle(request);
  }
}

int ChannelQueue::ring_to_join() { return LooseQueue::instance().shared_ring(); }

void ChannelQueue::conclude(Request& request, const Channel& of_socket) noexcept {
  if (&of_socket == &channel_) {
    end(request);
    channel_.offer(this);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    put_down_.push_back(request);
    any_put_down_.store(true, std::memory_order_relaxed);  // the mutex orders what it is about
  }
  channel_.look_at_requests_later();
}

bool ChannelQueue::look() noexcept {
  const bool any = take_ended();
  if (!any_put_down_.load(std::memory_order_relaxed)) return any;  // a hint: a look follows
  const std::lock_guard lock(mutex_);
  any_put_down_.store(false, std::memory_order_relaxed);
  while (!put_down_.empty()) {
    auto& request = static_cast<Request&>(put_down_.front());
    put_down_.pop_front();
    end(request);
  }
  return true;
}

bool ChannelQueue::emit(EventRing& ring) noexcept {
  while (!ended_.empty()) {
    if (ring.full()) return false;
    auto& request = static_cast<Request&>(ended_.front());
    request.fill_in(push(ring, EC_AIO, -1));
    ended_.pop_front();
    recycle(request);
  }
  return true;
}

}  // namespace sio::internal
