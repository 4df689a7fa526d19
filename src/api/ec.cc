// SPDX-License-Identifier: BSD-2-Clause
#include <sio/ec.h>

#include "api/boundary.h"
#include "base/error.h"
#include "config/settings.h"
#include "event/channel.h"
#include "event/descriptor_table.h"
#include "socket/socket.h"

using namespace sio::internal;

namespace {

constexpr size_t kMostEntries = size_t{1} << 24;
constexpr unsigned kSignalShift = 8;  // EC_OVERFLOW_SIGNAL
constexpr unsigned kSignalBits = 0x7f00u;

int open_channel(const ChannelOptions& options) {
  OwnFd epoll(check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
  const int fd = epoll.get();
  Channel* channel = Channel::open(std::move(epoll), options);
  ChannelGuard guard(channel);
  try {
    DescriptorTable::instance().set(fd, channel);
  } catch (...) {
    channel->close();
    throw;
  }
  return fd;
}

bool socket_events(uint32_t events) noexcept { return events == EC_DELIVER || events == EPOLLIN; }

bool plain_events(uint32_t events) noexcept {
  return events != 0 && (events & ~FdSource::kBits) == 0;
}

bool is_socket(int fd) noexcept { return DescriptorTable::instance().socket(fd) != nullptr; }

}  // namespace

ec_t ec_create(unsigned flags) {
  return call([&] {
    if ((flags & ~EC_WAKE_ALL) != 0) return -EINVAL;
    ChannelOptions options;
    options.flags = flags;
    options.entries = settings().ring_entries;
    return open_channel(options);
  });
}

ec_t ec_create_ring(unsigned flags, event_data_t* ring, size_t entries) {
  return call([&] {
    if ((flags & ~(EC_WAKE_ALL | kSignalBits)) != 0 || ring == nullptr) return -EINVAL;
    if (entries < 2 || entries > kMostEntries || (entries & (entries - 1)) != 0) return -EINVAL;
    ChannelOptions options;
    options.flags = flags;
    options.overflow_signal = static_cast<int>((flags & kSignalBits) >> kSignalShift);
    if (options.overflow_signal > SIGRTMAX) return -EINVAL;
    options.ring = ring;
    options.entries = entries;
    return open_channel(options);
  });
}

int ec_destroy(ec_t ec) {
  return call([&] {
    ChannelGuard channel = ChannelGuard::of(ec);
    return channel ? channel->close() : -EBADF;
  });
}

int ec_next_event(ec_t ec, event_data_t* d) {
  const int result = ec_next_events(ec, d, 1);
  return result > 0 ? 0 : result;
}

int ec_next_events(ec_t ec, event_data_t* d, int n) {
  return call([&] {
    ChannelGuard channel = ChannelGuard::of(ec);
    if (!channel) return -EBADF;
    if (d == nullptr || n <= 0) return -EINVAL;
    return channel->next_events(d, n);
  });
}

int ec_to_fd(ec_t ec) {
  return call([&] {
    ChannelGuard channel = ChannelGuard::of(ec);
    if (!channel) return -EBADF;
    channel->arm_strictly();
    return ec;
  });
}

int ec_delay(ec_t ec, struct timespec* tout) {
  return call([&] {
    TimePoint deadline;
    if (!deadline_after(tout, deadline)) return -EINVAL;
    ChannelGuard channel = ChannelGuard::of(ec);
    if (!channel) return -EBADF;
    return channel->wait(channel.lock(), WaitFor::kEvent, deadline,
                         [&] { return !channel->ring().empty(); });
  });
}

int ec_add_fd(ec_t ec, int fd, uint32_t events, void* cookie) {
  return call([&] {
    {
      ChannelGuard channel = ChannelGuard::of(ec);
      if (!channel) return -EBADF;
      if (!is_socket(fd)) {
        if (!plain_events(events) || fd == ec) return -EINVAL;
        return channel->add_fd(fd, events, cookie);
      }
    }
    if (!socket_events(events)) return -EINVAL;
    return Socket::move_to_channel(fd, ec, events, cookie);
  });
}

int ec_mod_fd(ec_t ec, int fd, uint32_t events, void* cookie) {
  return call([&] {
    ChannelGuard channel = ChannelGuard::of(ec);
    if (!channel) return -EBADF;
    if (is_socket(fd)) {
      if (!socket_events(events)) return -EINVAL;
      return Socket::set_cookie(fd, *channel, events, cookie);
    }
    return plain_events(events) ? channel->mod_fd(fd, events, cookie) : -EINVAL;
  });
}

int ec_del_fd(ec_t ec, int fd) {
  return call([&] {
    if (is_socket(fd)) {
      const int result = Socket::move_out(fd, ec);
      // The number may have been that of a plain descriptor, which was closed without a word.
      if (result != -ENOENT) return result;
    }
    ChannelGuard channel = ChannelGuard::of(ec);
    return channel ? channel->del_fd(fd) : -EBADF;
  });
}

int ec_post(ec_t ec, uint64_t value, void* cookie) {
  return call([&] {
    ChannelGuard channel = ChannelGuard::of(ec);
    return channel ? channel->post(value, cookie) : -EBADF;
  });
}
