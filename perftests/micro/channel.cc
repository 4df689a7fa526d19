// SPDX-License-Identifier: BSD-2-Clause
//
// Events from a channel, one by one and many at once, and beside them what the kernel asks for one.
#include <sio/ec.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "loop.h"

namespace sio::micro {
namespace {

constexpr int kEntries = 4096;
constexpr int kMany = 64;

class Channel {
 public:
  Channel() : ring_(kEntries), ec_(ec_create_ring(0, ring_.data(), ring_.size())) {
    if (ec_ < 0) std::abort();
  }
  ~Channel() { ec_destroy(ec_); }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  ec_t get() const { return ec_; }
  void post() const {
    if (ec_post(ec_, 1, nullptr) != 0) std::abort();
  }
  void fill() const {
    for (int i = 0; i < kEntries; ++i) post();
  }

 private:
  std::vector<event_data_t> ring_;
  const ec_t ec_;
};

void post_and_next(Loop& loop) {
  const Channel channel;
  event_data_t event;
  loop.run([&] {
    channel.post();
    if (ec_next_event(channel.get(), &event) != 0) std::abort();
  });
}

void next(Loop& loop) {
  const Channel channel;
  event_data_t event;
  loop.run_in_batches(
      kEntries, [&] { channel.fill(); },
      [&] {
        if (ec_next_event(channel.get(), &event) != 0) std::abort();
      });
}

void next_many(Loop& loop) {
  const Channel channel;
  event_data_t events[kMany];
  loop.run_in_batches(
      kEntries / kMany, [&] { channel.fill(); },
      [&] {
        if (ec_next_events(channel.get(), events, kMany) != kMany) std::abort();
      });
}

void epoll(Loop& loop) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  const int source = eventfd(1, EFD_CLOEXEC);  // stays readable
  epoll_event event{};
  event.events = EPOLLIN;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, source, &event) != 0) std::abort();
  loop.run([&] {
    if (epoll_wait(epoll, &event, 1, 0) != 1) std::abort();
  });
  close(source);
  close(epoll);
}

constexpr Operation kOperations[] = {{"channel/post-and-next-event", post_and_next},
                                     {"channel/next-event", next},
                                     {"channel/next-64-events", next_many},
                                     {"channel/epoll-wait", epoll}};

}  // namespace

std::span<const Operation> channel_operations() { return kOperations; }

}  // namespace sio::micro
