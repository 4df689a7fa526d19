// SPDX-License-Identifier: BSD-2-Clause
#include <fcntl.h>
#include <sio/ec.h>
#include <sys/timerfd.h>

#include "api/boundary.h"
#include "base/error.h"
#include "config/settings.h"
#include "event/channel_guard.h"
#include "event/channel_wait.h"
#include "event/descriptor_table.h"
#include "event/futex_source.h"
#include "event/process_source.h"
#include "event/semaphore_source.h"
#include "event/signal_source.h"
#include "event/timer_source.h"
#include "socket/arrival.h"
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

constexpr int kTimerFlags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;

// At least one signal, and none that nobody can take. (glibc's sigisemptyset looks at the
// first 32.)
bool can_be_taken(const sigset_t& signals) noexcept {
  bool any = false;
  for (int signal = 1; signal <= SIGRTMAX; ++signal) any |= sigismember(&signals, signal) == 1;
  return any && sigismember(&signals, SIGKILL) == 0 && sigismember(&signals, SIGSTOP) == 0;
}

bool is_aligned(const uint32_t* word) noexcept {
  return reinterpret_cast<uintptr_t>(word) % sizeof *word == 0;
}

// What starts once it has an id.
template <typename Source, typename... Arguments>
int add_and_start(Channel& channel, std::unique_ptr<Source> made, const Arguments&... arguments) {
  Source& source = *made;
  const int id = channel.add_source(std::move(made));
  try {
    if (id > 0) source.start(channel, arguments...);
  } catch (...) {
    channel.del_source(id);
    throw;
  }
  return id;
}

// Of one event or of many.
[[gnu::always_inline]] inline int next_events(ec_t ec, event_data_t* d, int n) noexcept {
  if (ForkGuard::in_child()) return fail(EPERM);
  int result = -EBADF;
  if (const ChannelHold channel = ChannelHold::of(ec)) {
    result = d != nullptr && n > 0 ? channel->next_events(d, n) : -EINVAL;
  }
  Deferred::run_noted();
  return result < 0 ? fail(-result) : result;
}

[[gnu::noinline]] int next_event(ec_t ec, event_data_t* d) noexcept {
  const int result = next_events(ec, d, 1);
  return result > 0 ? 0 : result;
}

// Of a channel that is locked already, and whether it is that of `ec` is not known.
[[gnu::noinline]] int next_event_of(Channel* channel, ec_t ec, event_data_t* d) noexcept {
  if (!channel->is(ec)) {
    channel->leave();
    return next_event(ec, d);
  }
  const int result = channel->next_events(d, 1);
  channel->leave();
  Deferred::run_noted();
  return result < 0 ? fail(-result) : 0;
}

[[gnu::noinline]] int look_on(Channel* channel, CompletionHub::Look found,
                              event_data_t* d) noexcept {
  const int result = channel->look_on_for_one(found, d);
  channel->leave();
  Deferred::run_noted();
  return result < 0 ? fail(-result) : 0;
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
    Sources::Owners sources;  // go when the lock has been given up
    std::unique_ptr<RequestSource> requests;
    ChannelGuard channel = ChannelGuard::of(ec);
    if (!channel) return -EBADF;
    const int result = channel->close();
    if (result != 0) return result;
    sources = channel->del_sources();
    requests = channel->del_requests();
    return 0;
  });
}

[[gnu::hot]] int ec_next_event(ec_t ec, event_data_t* d) {
  Channel* const channel = d != nullptr ? DescriptorTable::instance().channel(ec) : nullptr;
  // In a forked child there is none.
  if (channel == nullptr || !channel->mutex().try_lock()) [[unlikely]]
    return next_event(ec, d);
  const bool is_calm = channel->is_calm() && channel->fd() == ec;
  if (is_calm && channel->ring().empty()) [[likely]] {
    const auto found = channel->look_for_one(d, Socket::complete_one_at_rest);
    if (found != CompletionHub::Look::kGiven) [[unlikely]]
      return look_on(channel, found, d);
  } else if (!is_calm || !channel->take_one(d)) {
    return next_event_of(channel, ec, d);
  }
  channel->leave_calm();
  Deferred::run_noted();  // the message that was told of as sent may have been another's slot
  return 0;
}

int ec_next_events(ec_t ec, event_data_t* d, int n) { return next_events(ec, d, n); }

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

int ec_add_mq(ec_t ec, mqd_t queue, uint32_t events, void* cookie) {
  return call([&] {
    ChannelGuard channel = ChannelGuard::of(ec);
    if (!channel) return -EBADF;
    mq_attr attributes;
    if (mq_getattr(queue, &attributes) != 0) return -EBADF;
    if (!plain_events(events)) return -EINVAL;
    OwnFd own(check_errno(fcntl(queue, F_DUPFD_CLOEXEC, 0), "fcntl"));
    return channel->add_source(
        std::make_unique<MessageQueueSource>(std::move(own), queue, events, cookie));
  });
}

int ec_add_signal(ec_t ec, const sigset_t* signals, void* cookie) {
  return call([&] {
    ChannelGuard channel = ChannelGuard::of(ec);
    if (!channel) return -EBADF;
    if (signals == nullptr || !can_be_taken(*signals)) return -EINVAL;
    return channel->add_source(std::make_unique<SignalSource>(*signals, cookie));
  });
}

int ec_add_timer(ec_t ec, clockid_t clock, const struct itimerspec* times, int flags,
                 void* cookie) {
  return call([&] {
    ChannelGuard channel = ChannelGuard::of(ec);
    if (!channel) return -EBADF;
    if (times == nullptr || (flags & ~kTimerFlags) != 0) return -EINVAL;
    if (times->it_value.tv_sec == 0 && times->it_value.tv_nsec == 0) return -EINVAL;
    return channel->add_source(std::make_unique<TimerSource>(clock, *times, flags, cookie));
  });
}

int ec_add_sem(ec_t ec, sem_t* semaphore, void* cookie) {
  return call([&] {
    ChannelGuard channel = ChannelGuard::of(ec);
    if (!channel) return -EBADF;
    if (semaphore == nullptr) return -EINVAL;
    return add_and_start(*channel, std::make_unique<SemaphoreSource>(semaphore, cookie));
  });
}

int ec_add_futex(ec_t ec, uint32_t* word, uint32_t value, int flags, void* cookie) {
  return call([&] {
    ChannelGuard channel = ChannelGuard::of(ec);
    if (!channel) return -EBADF;
    if (word == nullptr || !is_aligned(word) || (flags & ~EC_FUTEX_SHARED) != 0) return -EINVAL;
    const FutexWatch::Word watched{word, value, (flags & EC_FUTEX_SHARED) != 0};
    return add_and_start(*channel, std::make_unique<FutexSource>(cookie), watched);
  });
}

int ec_add_process(ec_t ec, pid_t pid, void* cookie) {
  return call([&] {
    ChannelGuard channel = ChannelGuard::of(ec);
    if (!channel) return -EBADF;
    if (pid <= 0) return -EINVAL;
    return channel->add_source(std::make_unique<ProcessSource>(pid, cookie));
  });
}

int ec_del(ec_t ec, int id) {
  return call([&] {
    Sources::Owner source;  // goes when the lock has been given up
    ChannelGuard channel = ChannelGuard::of(ec);
    if (!channel) return -EBADF;
    source = channel->del_source(id);
    return source ? 0 : -ENOENT;
  });
}

int ec_post(ec_t ec, uint64_t value, void* cookie) {
  return call([&] {
    ChannelGuard channel = ChannelGuard::of(ec);
    return channel ? channel->post(value, cookie) : -EBADF;
  });
}
