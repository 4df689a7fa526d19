// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <atomic>
#include <mutex>

#include "aio/queue.h"
#include "event/channel.h"
#include "event/request_source.h"

namespace sio::internal {

// Of the requests whose ends come to a channel, SIGEV_EC. Its ring is in the channel's epoll set.
// Under the channel's lock, which is not taken while another channel's is held: what a socket of
// another channel has ended is put down, and looked at by the same thread when it holds none.
class ChannelQueue final : public RequestSource, public RequestQueue {
 public:
  explicit ChannelQueue(Channel& channel) noexcept : RequestQueue(&channel), channel_(channel) {}
  ~ChannelQueue() override;
  // That of a channel, which gets one at need. Throws std::bad_alloc.
  static ChannelQueue& of(Channel& channel);

  void conclude(Request& request, const Channel& of_socket) noexcept override;

  bool look() noexcept override;
  bool under_way() const noexcept override { return any_under_way(); }
  int descriptor() const noexcept override { return ring_fd(); }
  bool emit(EventRing& ring) noexcept override;
  void taken(const EventNote&) noexcept override {}

 private:
  void watch(int fd) override { channel_.watch_requests(fd); }
  int ring_to_join() override;
  void tell(Request& request) noexcept override { ended_.push_back(request); }

  Channel& channel_;
  Completions ended_;  // and not told
  std::mutex mutex_;   // guards what follows, and is held for that alone
  Completions put_down_;
  std::atomic<bool> any_put_down_{false};
};

}  // namespace sio::internal
