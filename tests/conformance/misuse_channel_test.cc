// SPDX-License-Identifier: BSD-2-Clause
//
// Every call of <sio/ec.h> with wrong handles, sizes, states and NULLs.
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <future>
#include <thread>

#include "conformance/denials.h"
#include "conformance/fixtures.h"
#include "conformance/lines.h"

namespace sio::test {
namespace {

using MisuseOfChannels = PlainTest;
using MisuseOfSocketsInChannels = DeviceTest;

TEST_F(MisuseOfChannels, EmptyOrFullAreEagain) {
  const Channel channel(0, 2);
  event_data_t events[2];
  expect_errors({
      {"no event", [&] { return ec_next_event(channel.get(), events); }, EAGAIN},
      {"no events", [&] { return ec_next_events(channel.get(), events, 2); }, EAGAIN},
  });
  for (uint64_t i = 0; i < 2; ++i) must(ec_post(channel.get(), i, nullptr), "ec_post");
  expect_errors({{"no room", [&] { return ec_post(channel.get(), 2, nullptr); }, EAGAIN}});
  EXPECT_EQ(ec_next_events(channel.get(), events, 2), 2);
}

TEST_F(MisuseOfChannels, Create) {
  expect_errors({
      {"an unknown flag", [] { return ec_create(2); }, EINVAL},
      {"a signal, without a ring", [] { return ec_create(EC_OVERFLOW_SIGNAL(10)); }, EINVAL},
  });
  const NoDescriptorsLeft none;
  expect_errors({{"no descriptor", [] { return ec_create(0); }, EMFILE}});
}

TEST_F(MisuseOfChannels, CreateRing) {
  std::vector<event_data_t> ring(4);
  event_data_t* const at = ring.data();
  expect_errors({
      {"NULL", [&] { return ec_create_ring(0, nullptr, 4); }, EINVAL},
      {"no entries", [&] { return ec_create_ring(0, at, 0); }, EINVAL},
      {"one entry", [&] { return ec_create_ring(0, at, 1); }, EINVAL},
      {"no power of two", [&] { return ec_create_ring(0, at, 3); }, EINVAL},
      {"too many", [&] { return ec_create_ring(0, at, size_t{1} << 25); }, EINVAL},
      {"an unknown flag", [&] { return ec_create_ring(4, at, 4); }, EINVAL},
      {"an unknown high flag", [&] { return ec_create_ring(1u << 20, at, 4); }, EINVAL},
  });
}

TEST_F(MisuseOfChannels, WrongHandles) {
  event_data_t event;
  timespec zero{};
  sigset_t signals;
  sigemptyset(&signals);
  const itimerspec times{{}, {1, 0}};
  sem_t semaphore;
  uint32_t word = 0;
  const Fd plain(must(eventfd(0, EFD_CLOEXEC), "eventfd"));
  ec_t gone;
  {
    const Channel channel;
    gone = channel.get();
  }
  for (const ec_t ec : {-1, 1 << 29, plain.get(), gone}) {
    SCOPED_TRACE(ec);
    expect_errors({
        {"ec_destroy", [&] { return ec_destroy(ec); }, EBADF},
        {"ec_next_event", [&] { return ec_next_event(ec, &event); }, EBADF},
        {"ec_next_events", [&] { return ec_next_events(ec, &event, 1); }, EBADF},
        {"ec_to_fd", [&] { return ec_to_fd(ec); }, EBADF},
        {"ec_delay", [&] { return ec_delay(ec, &zero); }, EBADF},
        {"ec_add_fd", [&] { return ec_add_fd(ec, plain.get(), EPOLLIN, nullptr); }, EBADF},
        {"ec_mod_fd", [&] { return ec_mod_fd(ec, plain.get(), EPOLLIN, nullptr); }, EBADF},
        {"ec_del_fd", [&] { return ec_del_fd(ec, plain.get()); }, EBADF},
        {"ec_add_mq", [&] { return ec_add_mq(ec, 0, EPOLLIN, nullptr); }, EBADF},
        {"ec_add_signal", [&] { return ec_add_signal(ec, &signals, nullptr); }, EBADF},
        {"ec_add_timer", [&] { return ec_add_timer(ec, CLOCK_MONOTONIC, &times, 0, nullptr); },
         EBADF},
        {"ec_add_sem", [&] { return ec_add_sem(ec, &semaphore, nullptr); }, EBADF},
        {"ec_add_futex", [&] { return ec_add_futex(ec, &word, 0, 0, nullptr); }, EBADF},
        {"ec_add_process", [&] { return ec_add_process(ec, getpid(), nullptr); }, EBADF},
        {"ec_del", [&] { return ec_del(ec, 1); }, EBADF},
        {"ec_post", [&] { return ec_post(ec, 0, nullptr); }, EBADF},
    });
  }
}

TEST_F(MisuseOfChannels, WrongArguments) {
  const Channel channel;
  const ec_t ec = channel.get();
  event_data_t events[2];
  timespec too_many_ns{0, 1'000'000'000};
  timespec negative_ns{0, -1};
  timespec negative{-1, 0};
  expect_errors({
      {"no event", [&] { return ec_next_event(ec, nullptr); }, EINVAL},
      {"no events", [&] { return ec_next_events(ec, nullptr, 1); }, EINVAL},
      {"none of them", [&] { return ec_next_events(ec, events, 0); }, EINVAL},
      {"fewer than none", [&] { return ec_next_events(ec, events, -1); }, EINVAL},
      {"too many ns", [&] { return ec_delay(ec, &too_many_ns); }, EINVAL},
      {"negative ns", [&] { return ec_delay(ec, &negative_ns); }, EINVAL},
      {"negative s", [&] { return ec_delay(ec, &negative); }, EINVAL},
  });
}

TEST_F(MisuseOfChannels, Sources) {
  const Channel channel;
  const ec_t ec = channel.get();
  const Fd counter(must(eventfd(0, EFD_CLOEXEC), "eventfd"));
  const auto signals = [ec](std::initializer_list<int> numbers) {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : numbers) sigaddset(&set, number);
    return ec_add_signal(ec, &set, nullptr);
  };
  const auto timer = [ec](itimerspec times, int clock = CLOCK_MONOTONIC, int flags = 0) {
    return ec_add_timer(ec, clock, &times, flags, nullptr);
  };
  const itimerspec good{{}, {60, 0}};
  alignas(4) char words[8] = {};
  const auto futex = [&](size_t at, int flags = 0) {
    return ec_add_futex(ec, reinterpret_cast<uint32_t*>(words + at), 0, flags, nullptr);
  };
  int thread = 0;
  std::promise<void> end;
  std::promise<void> begun;
  std::thread other([&] {
    thread = gettid();
    begun.set_value();
    end.get_future().wait();
  });
  begun.get_future().wait();
  expect_errors({
      {"no queue", [&] { return ec_add_mq(ec, -1, EPOLLIN, nullptr); }, EBADF},
      {"not a queue", [&] { return ec_add_mq(ec, counter.get(), EPOLLIN, nullptr); }, EBADF},
      {"no set", [&] { return ec_add_signal(ec, nullptr, nullptr); }, EINVAL},
      {"no signal", [&] { return signals({}); }, EINVAL},
      {"SIGKILL",
       [&] {
         return signals({SIGKILL, SIGUSR1});
       },
       EINVAL},
      {"SIGSTOP", [&] { return signals({SIGSTOP}); }, EINVAL},
      {"no times", [&] { return ec_add_timer(ec, CLOCK_MONOTONIC, nullptr, 0, nullptr); }, EINVAL},
      {"never", [&] { return timer({}); }, EINVAL},
      {"only again",
       [&] {
         return timer({{1, 0}, {}});
       },
       EINVAL},
      {"too many ns",
       [&] {
         return timer({{}, {0, 1'000'000'000}});
       },
       EINVAL},
      {"negative",
       [&] {
         return timer({{}, {-1, 0}});
       },
       EINVAL},
      {"negative interval",
       [&] {
         return timer({{-1, 0}, {1, 0}});
       },
       EINVAL},
      {"no clock", [&] { return timer(good, 12345); }, EINVAL},
      {"no timer's clock", [&] { return timer(good, CLOCK_THREAD_CPUTIME_ID); }, EINVAL},
      {"unknown flag", [&] { return timer(good, CLOCK_MONOTONIC, 1 << 5); }, EINVAL},
      {"no semaphore", [&] { return ec_add_sem(ec, nullptr, nullptr); }, EINVAL},
      {"no word", [&] { return ec_add_futex(ec, nullptr, 0, 0, nullptr); }, EINVAL},
      {"crooked", [&] { return futex(2); }, EINVAL},
      {"unknown flag", [&] { return futex(0, 2); }, EINVAL},
      {"process 0", [&] { return ec_add_process(ec, 0, nullptr); }, EINVAL},
      {"a group", [&] { return ec_add_process(ec, -getpid(), nullptr); }, EINVAL},
      {"a thread", [&] { return ec_add_process(ec, thread, nullptr); }, EINVAL},
      {"nobody", [&] { return ec_add_process(ec, INT_MAX, nullptr); }, ESRCH},
      {"no id", [&] { return ec_del(ec, 0); }, ENOENT},
      {"a descriptor", [&] { return ec_del(ec, ec); }, ENOENT},
      {"unknown id", [&] { return ec_del(ec, INT_MAX); }, ENOENT},
  });
  end.set_value();
  other.join();
}

TEST_F(MisuseOfChannels, SourcesWithoutDescriptors) {
  const Channel channel;
  const ec_t ec = channel.get();
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR2);
  const itimerspec times{{}, {60, 0}};
  const NoDescriptorsLeft none;
  expect_errors({
      {"signal", [&] { return ec_add_signal(ec, &signals, nullptr); }, EMFILE},
      {"timer", [&] { return ec_add_timer(ec, CLOCK_REALTIME, &times, 0, nullptr); }, EMFILE},
      {"process", [&] { return ec_add_process(ec, getpid(), nullptr); }, EMFILE},
  });
}

TEST_F(MisuseOfChannels, SourcesThatTheKernelDoesNotHave) {
  const Channel channel;
  const ec_t ec = channel.get();
  std::thread([ec] {
    forbid_call(SYS_futex_waitv);
    forbid_call(SYS_pidfd_open);
    uint32_t word = 0;
    expect_errors({
        {"futex", [&] { return ec_add_futex(ec, &word, 0, 0, nullptr); }, ENOSYS},
        {"process", [&] { return ec_add_process(ec, getpid(), nullptr); }, ENOSYS},
    });
  }).join();
}

TEST_F(MisuseOfChannels, SourcesWithoutThreads) {
  const Channel channel;
  const ec_t ec = channel.get();
  std::thread([ec] {
    forbid_call(SYS_clone);
    forbid_call(SYS_clone3, EAGAIN);
    sem_t semaphore;
    must(sem_init(&semaphore, 0, 1), "sem_init");
    expect_errors({{"semaphore", [&] { return ec_add_sem(ec, &semaphore, nullptr); }, ENOMEM}});
    int value = 0;
    EXPECT_EQ(sem_getvalue(&semaphore, &value), 0);
    EXPECT_EQ(value, 1);
  }).join();
}

TEST_F(MisuseOfChannels, TimersThatWakeTheSystemWithoutTheRightTo) {
  const Channel channel;
  const ec_t ec = channel.get();
  std::thread([ec] {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[2] = {};
    must(static_cast<int>(syscall(SYS_capset, &header, none)), "capset");
    const itimerspec times{{}, {60, 0}};
    expect_errors(
        {{"timer", [&] { return ec_add_timer(ec, CLOCK_BOOTTIME_ALARM, &times, 0, nullptr); },
          EPERM}});
  }).join();
}

TEST_F(MisuseOfChannels, Descriptors) {
  const Channel channel;
  const ec_t ec = channel.get();
  const Fd counter(must(eventfd(0, EFD_CLOEXEC), "eventfd"));
  const Fd file(must(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "open"));
  const int fd = counter.get();
  expect_errors({
      {"no descriptor", [&] { return ec_add_fd(ec, -1, EPOLLIN, nullptr); }, EBADF},
      {"a closed one", [&] { return ec_add_fd(ec, 1 << 20, EPOLLIN, nullptr); }, EBADF},
      {"no bit", [&] { return ec_add_fd(ec, fd, 0, nullptr); }, EINVAL},
      {"an unknown bit", [&] { return ec_add_fd(ec, fd, EPOLLIN | 1u << 25, nullptr); }, EINVAL},
      {"the channel itself", [&] { return ec_add_fd(ec, ec, EPOLLIN, nullptr); }, EINVAL},
      {"a regular file", [&] { return ec_add_fd(ec, file.get(), EPOLLIN, nullptr); }, EPERM},
      {"mod: not in it", [&] { return ec_mod_fd(ec, fd, EPOLLIN, nullptr); }, ENOENT},
      {"del: not in it", [&] { return ec_del_fd(ec, fd); }, ENOENT},
      {"mod: no descriptor", [&] { return ec_mod_fd(ec, -1, EPOLLIN, nullptr); }, EBADF},
  });
  must(ec_add_fd(ec, fd, EPOLLIN, nullptr), "ec_add_fd");
  expect_errors({
      {"twice", [&] { return ec_add_fd(ec, fd, EPOLLIN, nullptr); }, EEXIST},
      {"mod: no bit", [&] { return ec_mod_fd(ec, fd, 0, nullptr); }, EINVAL},
      {"mod: an unknown bit", [&] { return ec_mod_fd(ec, fd, 1u << 25, nullptr); }, EINVAL},
  });
}

TEST_F(MisuseOfChannels, InACircle) {
  const Channel one;
  const Channel other;
  must(ec_add_fd(one.get(), other.get(), EPOLLIN, nullptr), "ec_add_fd");
  expect_errors(
      {{"a circle", [&] { return ec_add_fd(other.get(), one.get(), EPOLLIN, nullptr); }, ELOOP}});
}

TEST_F(MisuseOfSocketsInChannels, Add) {
  const Channel channel;
  const Channel other;
  const ec_t ec = channel.get();
  Socket socket = Socket::make();
  const int fd = socket.get();
  expect_errors({
      {"no bit", [&] { return ec_add_fd(ec, fd, 0, nullptr); }, EINVAL},
      {"not a socket's bit", [&] { return ec_add_fd(ec, fd, EPOLLOUT, nullptr); }, EINVAL},
      {"an unknown bit", [&] { return ec_add_fd(ec, fd, EC_DELIVER | 1u << 25, nullptr); }, EINVAL},
      {"mod: not in it", [&] { return ec_mod_fd(ec, fd, EC_DELIVER, nullptr); }, ENOENT},
      {"del: not in it", [&] { return ec_del_fd(ec, fd); }, ENOENT},
  });
  socket.join(channel);
  expect_errors({
      {"twice", [&] { return ec_add_fd(ec, fd, EC_DELIVER, nullptr); }, EEXIST},
      {"two channels", [&] { return ec_add_fd(other.get(), fd, EC_DELIVER, nullptr); }, EISCONN},
      {"mod: other bits", [&] { return ec_mod_fd(ec, fd, EPOLLIN, nullptr); }, EINVAL},
      {"del: of another", [&] { return ec_del_fd(other.get(), fd); }, ENOENT},
      {"destroy", [&] { return ec_destroy(ec); }, EBUSY},
  });
  must(ec_del_fd(ec, fd), "ec_del_fd");
  socket.join(other, EPOLLIN);
}

TEST_F(MisuseOfSocketsInChannels, AddTooLate) {
  const Channel channel;
  const Channel other;
  const ec_t ec = other.get();
  Socket listener = Socket::make();
  listener.join(channel).bind(Address::self()).listen();
  Socket alone = Socket::make();
  alone.bind(Address::self()).listen();
  Socket connecting = Socket::make(SOCK_NONBLOCK);
  EXPECT_EQ(connecting.try_connect(alone.name()), EINPROGRESS);
  const Pair pair = make_pair();
  const Pair joined = make_pair(&channel, &channel);
  expect_errors({
      {"listening", [&] { return ec_add_fd(ec, alone.get(), EPOLLIN, nullptr); }, EISCONN},
      {"connecting", [&] { return ec_add_fd(ec, connecting.get(), EPOLLIN, nullptr); }, EISCONN},
      {"connected", [&] { return ec_add_fd(ec, pair.near.get(), EPOLLIN, nullptr); }, EISCONN},
      {"accepted", [&] { return ec_add_fd(ec, pair.far.get(), EPOLLIN, nullptr); }, EISCONN},
      {"del: listening", [&] { return ec_del_fd(channel.get(), listener.get()); }, EISCONN},
      {"del: connected", [&] { return ec_del_fd(channel.get(), joined.near.get()); }, EISCONN},
  });
  int cookie = 0;
  must(ec_mod_fd(channel.get(), joined.far.get(), EC_DELIVER, &cookie), "ec_mod_fd");
  must(sio_send(joined.near.get(), "x", 1, 0), "sio_send");
  EXPECT_EQ(channel.skip_to(EC_RECV).cookie, &cookie);
}

TEST_F(MisuseOfSocketsInChannels, DestroyDropsWhatWasNotTakenAndGivesItBack) {
  Area area(size_t{1} << 20);
  {
    Channel channel;
    Socket listener = Socket::make();
    listener.associate(area).bind(Address::self()).listen();
    Socket near = Socket::make(SOCK_NONBLOCK);
    EXPECT_EQ(near.try_connect(listener.name()), EINPROGRESS);
    Socket far(must(sio_accept_ec(listener.get(), nullptr, nullptr, 0, channel.get(), nullptr),
                    "sio_accept_ec"));
    EXPECT_TRUE(eventually([&] { return (near.ready() & EPOLLOUT) != 0; }));
    for (int i = 0; i < 20; ++i) near.send("never taken");
    timespec limit = to_timespec(kSoon);
    EXPECT_EQ(ec_delay(channel.get(), &limit), 0);
  }
  EXPECT_TRUE(eventually([&] { return accounts(area.get()).free == area.bytes(); }));
}

}  // namespace
}  // namespace sio::test
