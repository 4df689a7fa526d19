// SPDX-License-Identifier: BSD-2-Clause
//
// What a channel takes in besides sockets and descriptors: message queues, signals, timers,
// semaphores, futexes and processes.
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <deque>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "conformance/denials.h"
#include "conformance/fixtures.h"
#include "conformance/lines.h"

namespace sio::test {
namespace {

class Sources : public PlainTest {
 protected:
  bool quiet() { return !channel_.try_next(kQuiet); }
  void end(int id) { EXPECT_TRUE(channel_.end(id)); }
  void expect_ended(int id) { EXPECT_FALSE(channel_.end(id)); }

  int cookie_ = 0;
  Channel channel_;
};

// -------------------------------------------------------------------------------------- signals

class SourceSignal : public Sources {
 protected:
  // The other threads of this program have blocked all signals.
  SourceSignal() {
    sigemptyset(&signals_);
    for (const int signal : {SIGRTMIN + 5, SIGRTMIN + 6}) sigaddset(&signals_, signal);
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  }
  ~SourceSignal() override {
    const timespec at_once{};
    while (sigtimedwait(&signals_, nullptr, &at_once) > 0) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

  int add() { return channel_.add_signals(signals_, &cookie_); }
  static void queue(int value, int signal = SIGRTMIN + 5) {
    must(sigqueue(getpid(), signal, {.sival_int = value}), "sigqueue");
  }

  sigset_t signals_;
  sigset_t before_;
};

TEST_F(SourceSignal, TellsWhoSentIt) {
  add();
  EXPECT_TRUE(quiet());
  queue(4711, SIGRTMIN + 6);
  const event_data_t event = channel_.expect(EC_SIGNAL);
  EXPECT_EQ(event.fd, SIGRTMIN + 6);
  EXPECT_EQ(event.error, 0);
  EXPECT_EQ(event.cookie, &cookie_);
  EXPECT_EQ(event.signal.pid, getpid());
  EXPECT_EQ(event.signal.uid, getuid());
  EXPECT_EQ(event.signal.code, SI_QUEUE);
  EXPECT_EQ(event.signal.value.sival_int, 4711);
  EXPECT_TRUE(quiet());
}

TEST_F(SourceSignal, StaysPendingWhileTheRingIsFull) {
  const Channel small(0, 4);
  small.add_signals(signals_);
  for (int i = 0; i < 20; ++i) queue(i);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(small.expect(EC_SIGNAL).signal.value.sival_int, i);
    sigset_t pending;
    sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGRTMIN + 5), i < 15) << i;  // four more are in the ring
  }
}

TEST_F(SourceSignal, IsLeftAloneOnceTheSourceHasEnded) {
  const int id = add();
  queue(1);
  EXPECT_TRUE(channel_.wait(kSoon));  // it is in the ring
  end(id);
  EXPECT_TRUE(quiet());
  queue(2);
  EXPECT_TRUE(quiet());
  siginfo_t info;
  EXPECT_EQ(sigwaitinfo(&signals_, &info), SIGRTMIN + 5);
  EXPECT_EQ(info.si_value.sival_int, 2);
  expect_ended(id);
}

// --------------------------------------------------------------------------------------- timers

class SourceTimer : public Sources {
 protected:
  int add(milliseconds first, milliseconds interval, int flags = 0,
          clockid_t clock = CLOCK_MONOTONIC) {
    const itimerspec times{to_timespec(interval), to_timespec(first)};
    return channel_.add_timer(clock, times, flags, &cookie_);
  }
  // An errno, if it may not be set.
  static int set_clock_to_what_it_is() {
    timespec time{};
    must(clock_gettime(CLOCK_REALTIME, &time), "clock_gettime");
    return clock_settime(CLOCK_REALTIME, &time) == 0 ? 0 : errno;
  }
  static milliseconds now(clockid_t clock) {
    timespec time{};
    must(clock_gettime(clock, &time), "clock_gettime");
    return milliseconds(time.tv_sec * 1000 + time.tv_nsec / 1'000'000);
  }
};

TEST_F(SourceTimer, ExpiresOnceAndEnds) {
  const auto start = Clock::now();
  const int id = add(milliseconds(50), milliseconds(0));
  const event_data_t event = channel_.expect(EC_TIMER);
  EXPECT_GE(Clock::now() - start, milliseconds(50));
  EXPECT_EQ(event.fd, id);
  EXPECT_EQ(event.cookie, &cookie_);
  EXPECT_EQ(event.value, 1u);
  EXPECT_EQ(event.error, 0);
  expect_ended(id);
}

TEST_F(SourceTimer, ExpiresAtATimeOfItsClock) {
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME}) {
    const milliseconds when = now(clock) + milliseconds(40);
    add(when, milliseconds(0), TIMER_ABSTIME, clock);
    EXPECT_EQ(channel_.expect(EC_TIMER).value, 1u);
    EXPECT_GE(now(clock), when);
  }
}

TEST_F(SourceTimer, ThatIsLateCountsAllExpirations) {
  const int id = add(milliseconds(5), milliseconds(5));
  EXPECT_GE(channel_.expect(EC_TIMER).value, 1u);
  std::this_thread::sleep_for(milliseconds(60));
  uint64_t late = channel_.expect(EC_TIMER).value;
  if (late < 8) late += channel_.expect(EC_TIMER).value;  // one was in the ring before
  EXPECT_GE(late, 8u);
  end(id);
  EXPECT_TRUE(quiet());
}

TEST_F(SourceTimer, WaitsInTheRingOnceAtMost) {
  add(milliseconds(1), milliseconds(1));
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(channel_.wait(kSoon));
  std::this_thread::sleep_for(milliseconds(10));
  event_data_t events[16];
  EXPECT_EQ(channel_.poll(events).size(), 1u);
}

TEST_F(SourceTimer, ThatHasEndedIsNotToldOf) {
  const int id = add(milliseconds(10), milliseconds(0));
  EXPECT_TRUE(channel_.wait(kSoon));
  end(id);  // it has expired, but nobody was told
  EXPECT_TRUE(quiet());
}

TEST_F(SourceTimer, WakesWhoSleepsOnTheDescriptor) {
  const int fd = channel_.descriptor();
  EXPECT_TRUE(quiet());
  add(milliseconds(50), milliseconds(0));
  pollfd entry{fd, POLLIN, 0};
  ASSERT_EQ(poll(&entry, 1, static_cast<int>(kSoon.count())), 1);
  channel_.expect(EC_TIMER);
}

TEST_F(SourceTimer, TellsThatItsClockWasSet) {
  const int id = add(now(CLOCK_REALTIME) + std::chrono::hours(1), milliseconds(0),
                     TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, CLOCK_REALTIME);
  timespec time{};
  must(clock_gettime(CLOCK_REALTIME, &time), "clock_gettime");
  if (clock_settime(CLOCK_REALTIME, &time) != 0) {
    GTEST_SKIP() << "may not set the clock: " << std::strerror(errno);
  }
  const event_data_t event = channel_.expect(EC_TIMER);
  EXPECT_EQ(event.error, ECANCELED);
  EXPECT_EQ(event.value, 0u);
  end(id);  // it still runs
}

// The clock is set when the timer has expired, but nobody was told yet.
TEST_F(SourceTimer, OutlivesAnExpirationAsItsClockIsSet) {
  constexpr int kFlags = TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
  for (const milliseconds interval : {milliseconds(0), milliseconds(20)}) {
    const int id = add(now(CLOCK_REALTIME) + kQuiet, interval, kFlags, CLOCK_REALTIME);
    std::this_thread::sleep_for(2 * kQuiet);
    if (const int error = set_clock_to_what_it_is()) {
      end(id);
      GTEST_SKIP() << "may not set the clock: " << std::strerror(error);
    }
    EXPECT_EQ(channel_.expect(EC_TIMER).error, ECANCELED);
    for (int i = 0; i < 3; ++i) {
      const event_data_t event = channel_.expect(EC_TIMER);
      EXPECT_EQ(event.fd, id);
      EXPECT_EQ(event.error, 0);
      EXPECT_GE(event.value, 1u);
      if (interval == milliseconds(0)) break;
    }
    if (interval == milliseconds(0)) {
      expect_ended(id);
    } else {
      end(id);
    }
  }
}

// Those that were told of are not told again.
TEST_F(SourceTimer, CountsEachExpirationOnceAsItsClockIsSet) {
  constexpr milliseconds kInterval{20};
  const milliseconds start = now(CLOCK_REALTIME) + kInterval;
  const int id = add(start, kInterval, TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, CLOCK_REALTIME);
  uint64_t told = 0;
  for (int i = 0; i < 10; ++i) {
    if (const int error = set_clock_to_what_it_is()) {
      end(id);
      GTEST_SKIP() << "may not set the clock: " << std::strerror(error);
    }
    std::this_thread::sleep_for(kInterval / 2);
    told += channel_.expect(EC_TIMER).value;
  }
  while (told < 20) told += channel_.expect(EC_TIMER).value;
  const auto due = static_cast<uint64_t>((now(CLOCK_REALTIME) - start) / kInterval) + 1;
  EXPECT_LE(told, due);
  EXPECT_GE(told + 3, due);
  end(id);
}

// ---------------------------------------------------------------------------- plain descriptors

// A call that fails changes nothing: what is one-shot stays spent, an edge stays told.
TEST_F(Sources, ThatAreAddedTwiceAreNotArmedAgain) {
  for (const uint32_t how : {uint32_t{EPOLLONESHOT}, uint32_t{EPOLLET}}) {
    const Fd counter(must(eventfd(1, EFD_CLOEXEC), "eventfd"));
    channel_.add(counter.get(), EPOLLIN | how);
    channel_.expect(EC_FD);
    const auto again = [&] {
      return ec_add_fd(channel_.get(), counter.get(), EPOLLIN | how, nullptr);
    };
    expect_errors({{"twice", again, EEXIST}});
    EXPECT_TRUE(quiet());
    channel_.remove(counter.get());
  }
}

// Epoll knows the file as long as there is a duplicate, by the number that is another's now.
TEST_F(Sources, ThatWereClosedAreNotTakenForWhoHasTheirNumber) {
  Fd closed(must(eventfd(0, EFD_CLOEXEC), "eventfd"));
  const Fd duplicate(must(dup(closed.get()), "dup"));
  const int fd = closed.get();
  channel_.add(fd, EPOLLIN);
  closed.reset();
  const Fd other(must(eventfd(0, EFD_CLOEXEC), "eventfd"));
  ASSERT_EQ(other.get(), fd);
  channel_.add(fd, EPOLLIN);
  must(eventfd_write(duplicate.get(), 1), "eventfd_write");
  EXPECT_TRUE(quiet());
  must(eventfd_write(fd, 1), "eventfd_write");
  EXPECT_EQ(channel_.expect(EC_FD).fd, fd);
}

// A descriptor that was closed without ec_del_fd, when the library has its number.
class SourceClosed : public SourceTimer {
 protected:
  // The timer's id.
  int replace_by_timer(Fd& closed, milliseconds first) {
    const int fd = closed.get();
    closed.reset();
    const int id = add(first, milliseconds(0));
    EXPECT_GE(fcntl(fd, F_GETFD), 0) << "the timer has another number";
    return id;
  }
  Fd add_readable() {
    Fd counter(must(eventfd(1, EFD_CLOEXEC), "eventfd"));
    channel_.add(counter.get(), EPOLLIN);
    return counter;
  }
  void expect_timer(int id) {
    const event_data_t event = channel_.expect(EC_TIMER);
    EXPECT_EQ(event.fd, id);
    expect_ended(id);
  }
};

TEST_F(SourceClosed, IsNotArmedInPlaceOfATimer) {
  Fd counter = add_readable();
  channel_.expect(EC_FD);  // it is to be armed again
  expect_timer(replace_by_timer(counter, kQuiet));
}

TEST_F(SourceClosed, IsNotToldOfInPlaceOfATimer) {
  Fd counter = add_readable();
  ASSERT_TRUE(channel_.wait(kSoon));  // its event is in the ring
  expect_timer(replace_by_timer(counter, kQuiet));
}

TEST_F(SourceClosed, CannotBeChangedInPlaceOfATimer) {
  Fd counter = add_readable();
  const int fd = counter.get();
  const int id = replace_by_timer(counter, 3 * kQuiet);
  expect_errors({
      {"mod", [&] { return ec_mod_fd(channel_.get(), fd, EPOLLIN, nullptr); }, ENOENT},
      {"del", [&] { return ec_del_fd(channel_.get(), fd); }, ENOENT},
      {"add", [&] { return ec_add_fd(channel_.get(), fd, EPOLLIN, nullptr); }, EEXIST},
      {"del, again", [&] { return ec_del_fd(channel_.get(), fd); }, ENOENT},
  });
  expect_timer(id);
}

class SourceClosedOnWire : public DeviceTest {
 protected:
  const Channel channel_;
};

// Whichever numbers the descriptors have that a connection needs.
TEST_F(SourceClosedOnWire, CannotBeTakenOutInPlaceOfCompletions) {
  std::vector<Fd> counters;
  std::vector<int> numbers;
  for (int i = 0; i < 100; ++i) {
    counters.emplace_back(must(eventfd(0, EFD_CLOEXEC), "eventfd"));
    numbers.push_back(counters.back().get());
    channel_.add(numbers.back(), EPOLLIN);
  }
  counters.clear();
  Pair pair = make_pair(&channel_);
  for (const int fd : numbers) ec_del_fd(channel_.get(), fd);  // some are known, some are not
  while (channel_.try_next(kQuiet)) {
  }
  std::thread sending([&] {
    std::this_thread::sleep_for(kQuiet);
    pair.far.send("hello");
  });
  const auto event = channel_.try_next(kSoon);
  sending.join();
  ASSERT_TRUE(event) << "who sleeps was not woken";
  EXPECT_EQ(event->kind, uint32_t{EC_RECV});
  EXPECT_EQ(Message(*event).view(), "hello");
}

// ----------------------------------------------------------------------------------- semaphores

class SourceSemaphore : public Sources {
 protected:
  SourceSemaphore() { must(sem_init(&semaphore_, 0, 0), "sem_init"); }
  ~SourceSemaphore() override {
    for (const int id : ids_) channel_.end(id);
    sem_destroy(&semaphore_);
  }

  int add() {
    ids_.insert(channel_.add_semaphore(semaphore_, &cookie_));
    return *ids_.rbegin();
  }
  int left() {
    int value = 0;
    must(sem_getvalue(&semaphore_, &value), "sem_getvalue");
    return value;
  }
  void post(int times = 1) {
    for (int i = 0; i < times; ++i) must(sem_post(&semaphore_), "sem_post");
  }

  std::set<int> ids_;
  sem_t semaphore_;
};

TEST_F(SourceSemaphore, IsTakenForTheProgram) {
  const int id = add();
  EXPECT_TRUE(quiet());
  for (int i = 0; i < 100; ++i) {
    post();
    const event_data_t event = channel_.expect(EC_SEM);
    EXPECT_EQ(event.fd, id);
    EXPECT_EQ(event.cookie, &cookie_);
    EXPECT_EQ(left(), 0);
  }
  EXPECT_TRUE(quiet());
}

TEST_F(SourceSemaphore, IsLeftToOthersUntilTheEventWasTaken) {
  post(3);
  add();
  for (int taken = 1; taken <= 3; ++taken) {
    EXPECT_TRUE(channel_.wait(kSoon));
    std::this_thread::sleep_for(milliseconds(20));
    EXPECT_EQ(left(), 3 - taken);
    channel_.expect(EC_SEM);
  }
  EXPECT_TRUE(quiet());
}

TEST_F(SourceSemaphore, IsGivenBackWhenTheSourceEnds) {
  const int id = add();
  post(3);
  EXPECT_TRUE(channel_.wait(kSoon));
  EXPECT_EQ(left(), 2);
  end(id);
  EXPECT_EQ(left(), 3);
  EXPECT_TRUE(quiet());
  expect_ended(id);
}

TEST_F(SourceSemaphore, IsGivenBackWhenTheChannelEnds) {
  {
    const Channel other;
    other.add_semaphore(semaphore_);
    post();
    EXPECT_TRUE(other.wait(kSoon));
    EXPECT_EQ(left(), 0);
  }
  EXPECT_EQ(left(), 1);
}

TEST_F(SourceSemaphore, WaitsForRoomInTheRing) {
  const Channel small(0, 2);
  const int id = small.add_semaphore(semaphore_);
  for (uint64_t i = 0; i < 2; ++i) must(small.post(i), "ec_post");
  post(2);
  ASSERT_TRUE(eventually([&] { return left() == 1; }));
  for (int i = 0; i < 2; ++i) small.expect(EC_USER);
  for (int i = 0; i < 2; ++i) small.expect(EC_SEM);
  EXPECT_TRUE(small.end(id));
}

// However the end of a source and a post fall, none is lost and none is made.
TEST_F(SourceSemaphore, IsNeitherLostNorMadeByEndsAtAnyTime) {
  constexpr int kRounds = 300;
  std::atomic<bool> stop{false};
  std::thread poster([&] {
    for (int i = 0; i < kRounds; ++i) {
      post();
      std::this_thread::sleep_for(std::chrono::microseconds(i % 97));
    }
    stop = true;
  });
  int taken = 0;
  while (!stop) {
    const int id = channel_.add_semaphore(semaphore_);
    if (channel_.try_next(milliseconds(0))) ++taken;
    end(id);
  }
  poster.join();
  while (channel_.try_next(milliseconds(0))) ++taken;
  EXPECT_EQ(taken + left(), kRounds);
}

// -------------------------------------------------------------------------------------- futexes

class Page {
 public:
  Page() : at_(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    EXPECT_NE(at_, MAP_FAILED);
    *word() = 0;
  }
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;
  ~Page() { munmap(at_, kSize); }

  uint32_t* word() const { return static_cast<uint32_t*>(at_); }
  void protect(int how) const { must(mprotect(at_, kSize, how), "mprotect"); }

 private:
  static constexpr size_t kSize = 4096;
  void* at_;
};

class SourceFutex : public Sources {
 protected:
  int add(uint32_t* word, uint32_t value, int flags = 0) {
    try {
      return channel_.add_futex(*word, value, flags, &cookie_);
    } catch (const std::system_error& error) {
      if (error.code().value() != ENOSYS) throw;
      return -1;
    }
  }
  void SetUp() override {
    const int id = add(&word_, 1);
    if (id < 0) GTEST_SKIP() << "the kernel has no futex_waitv (Linux 5.16)";
    EXPECT_EQ(channel_.expect(EC_FUTEX).value, 0u) << "it never was 1";
  }
  // Whether that thread does.
  static bool sleeps(pid_t thread) {
    std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
    std::string text;
    std::getline(file, text);
    const size_t name_end = text.rfind(')');
    return name_end != std::string::npos && text.substr(name_end, 3) == ") S";
  }
  void change(uint32_t value) { std::atomic_ref<uint32_t>(word_).store(value); }
  static void wake(uint32_t* word, int flag = FUTEX_PRIVATE_FLAG) {
    syscall(SYS_futex, word, FUTEX_WAKE | flag, INT_MAX, nullptr, nullptr, 0);
  }
  static void set(uint32_t* word, uint32_t value, int flag = FUTEX_PRIVATE_FLAG) {
    std::atomic_ref<uint32_t>(*word).store(value);
    wake(word, flag);
  }

  uint32_t word_ = 0;
};

TEST_F(SourceFutex, TellsOfAChange) {
  const int id = add(&word_, 0);
  EXPECT_TRUE(quiet());
  set(&word_, 5);
  const event_data_t event = channel_.expect(EC_FUTEX);
  EXPECT_EQ(event.fd, id);
  EXPECT_EQ(event.cookie, &cookie_);
  EXPECT_EQ(event.value, 5u);
  EXPECT_EQ(event.error, 0);
  expect_ended(id);
  set(&word_, 6);
  EXPECT_TRUE(quiet());
}

TEST_F(SourceFutex, TellsOfAWakeUpThatChangesNothing) {
  add(&word_, 0);
  EXPECT_TRUE(quiet());  // the helper sleeps
  wake(&word_);
  EXPECT_EQ(channel_.expect(EC_FUTEX).value, 0u);
}

TEST_F(SourceFutex, LeavesWakeUpsToOthersWhenItsSourceHasEnded) {
  const int id = add(&word_, 0);
  end(id);
  EXPECT_TRUE(quiet());
  EXPECT_EQ(syscall(SYS_futex, &word_, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr, nullptr, 0), 0);
  set(&word_, 5);
  EXPECT_TRUE(quiet());
}

// When its source has ended the helper may sleep at the word for a moment yet, before others; or it
// was woken before, and the program has not taken the event.
TEST_F(SourceFutex, PassesOnAWakeUpThatComesAsItsSourceEnds) {
  for (int round = 0; round < 40; ++round) {
    const int id = add(&word_, 0);
    std::this_thread::sleep_for(milliseconds(5));  // now the helper sleeps there
    long woken = -1;
    std::atomic<pid_t> waits{0};
    std::thread other([&] {
      const timespec limit{10, 0};
      waits = gettid();
      woken = syscall(SYS_futex, &word_, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, &limit);
    });
    const bool asleep = eventually([&] { return waits != 0 && sleeps(waits); });
    if (round % 4 < 2) end(id);
    if (round % 2 == 1) change(1);  // as most do before they wake
    syscall(SYS_futex, &word_, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
    if (round % 8 >= 6) std::this_thread::sleep_for(milliseconds(5));  // now it has been told
    if (round % 4 >= 2) end(id);
    other.join();
    ASSERT_TRUE(asleep);
    ASSERT_EQ(woken, 0) << "in round " << round;
    change(0);
  }
}

TEST_F(SourceFutex, MayBeOneOfMany) {
  std::deque<uint32_t> words(300);
  std::set<int> ids;
  for (uint32_t& word : words) ids.insert(add(&word, 0));
  ASSERT_EQ(ids.size(), words.size());
  EXPECT_TRUE(quiet());
  for (size_t i = 0; i < words.size(); ++i) {
    uint32_t& word = words[(i * 7) % words.size()];
    set(&word, static_cast<uint32_t>(i) + 1);
    const event_data_t event = channel_.expect(EC_FUTEX);
    EXPECT_EQ(event.value, i + 1);
    EXPECT_EQ(ids.erase(event.fd), 1u);
  }
  EXPECT_TRUE(quiet());
}

TEST_F(SourceFutex, MayBeSharedBetweenProcesses) {
  void* const memory =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* const word = static_cast<uint32_t*>(memory);
  const int id = add(word, 0, EC_FUTEX_SHARED);
  EXPECT_TRUE(quiet());
  const pid_t child = must(fork(), "fork");
  if (child == 0) {
    set(word, 9, 0);
    _exit(0);
  }
  const event_data_t event = channel_.expect(EC_FUTEX);
  EXPECT_EQ(event.fd, id);
  EXPECT_EQ(event.value, 9u);
  must(waitpid(child, nullptr, 0), "waitpid");
  munmap(memory, 4096);
}

TEST_F(SourceFutex, WhoseMemoryHasGoneIsToldOf) {
  void* const memory =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const int id = add(static_cast<uint32_t*>(memory), 0);
  EXPECT_TRUE(quiet());
  munmap(memory, 4096);
  const int other = add(&word_, 0);  // has the helper look at all of them
  const event_data_t event = channel_.expect(EC_FUTEX);
  EXPECT_EQ(event.fd, id);
  EXPECT_EQ(event.error, EFAULT);
  set(&word_, 1);
  EXPECT_EQ(channel_.expect(EC_FUTEX).fd, other);
}

// A private word is whoever's memory it is, written to or not.
TEST_F(SourceFutex, MayBeReadOnly) {
  const Page page;
  page.protect(PROT_READ);
  const int id = add(page.word(), 0);
  EXPECT_TRUE(quiet());
  wake(page.word());
  const event_data_t event = channel_.expect(EC_FUTEX);
  EXPECT_EQ(event.fd, id);
  EXPECT_EQ(event.error, 0);
}

// It is read while its memory goes.
TEST_F(SourceFutex, MayGoAtAnyTime) {
  for (int i = 0; i < 2000; ++i) {
    std::optional<Page> page(std::in_place);
    add(page->word(), 1);
    std::this_thread::sleep_for(std::chrono::microseconds(i % 50));
    page.reset();
    const event_data_t event = channel_.expect(EC_FUTEX);
    EXPECT_EQ(event.value, 0u);
    EXPECT_TRUE(event.error == 0 || event.error == EFAULT) << event.error;
  }
}

TEST_F(SourceFutex, IsRefusedWhereAFilterForbidsToWaitForIt) {
  std::thread([&] {
    forbid_call(SYS_futex_waitv, EPERM);
    expect_errors(
        {{"EPERM", [&] { return ec_add_futex(channel_.get(), &word_, word_, 0, nullptr); },
          ENOSYS}});
  }).join();
  EXPECT_TRUE(quiet());
}

// ------------------------------------------------------------------------------------ processes

class SourceProcess : public Sources {
 protected:
  // A child that ends when it is told to, or is killed.
  pid_t start() {
    int ends[2];
    must(pipe2(ends, O_CLOEXEC), "pipe2");
    const Fd out(ends[0]);
    let_end_ = Fd(ends[1]);
    const pid_t child = must(fork(), "fork");
    if (child == 0) {
      let_end_ = Fd();
      char byte;
      [[maybe_unused]] const ssize_t n = read(out.get(), &byte, 1);
      _exit(7);
    }
    return child;
  }

  Fd let_end_;
};

TEST_F(SourceProcess, TellsHowAChildHasEnded) {
  const pid_t child = start();
  const int id = channel_.add_process(child, &cookie_);
  EXPECT_TRUE(quiet());
  let_end_ = Fd();
  const event_data_t event = channel_.expect(EC_PROCESS);
  EXPECT_EQ(event.fd, id);
  EXPECT_EQ(event.cookie, &cookie_);
  EXPECT_EQ(event.signal.pid, child);
  EXPECT_EQ(event.signal.uid, getuid());
  EXPECT_EQ(event.signal.code, CLD_EXITED);
  EXPECT_EQ(event.signal.status, 7);
  expect_ended(id);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child) << "the library has not waited for it";
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(SourceProcess, TellsOfAChildThatWasKilled) {
  const pid_t child = start();
  channel_.add_process(child);
  must(kill(child, SIGKILL), "kill");
  const event_data_t event = channel_.expect(EC_PROCESS);
  EXPECT_EQ(event.signal.code, CLD_KILLED);
  EXPECT_EQ(event.signal.status, SIGKILL);
  must(waitpid(child, nullptr, 0), "waitpid");
}

TEST_F(SourceProcess, TellsOnlyThatAnotherHasEnded) {
  int ends[2];
  must(pipe2(ends, O_CLOEXEC), "pipe2");
  const Fd out(ends[0]);
  const pid_t child = must(fork(), "fork");
  if (child == 0) {
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      usleep(200'000);
      _exit(3);
    }
    [[maybe_unused]] const ssize_t n = write(ends[1], &grandchild, sizeof grandchild);
    _exit(0);
  }
  close(ends[1]);
  pid_t grandchild = 0;
  ASSERT_EQ(read(out.get(), &grandchild, sizeof grandchild), ssize_t{sizeof grandchild});
  must(waitpid(child, nullptr, 0), "waitpid");
  channel_.add_process(grandchild);
  const event_data_t event = channel_.expect(EC_PROCESS);
  EXPECT_EQ(event.signal.pid, grandchild);
  EXPECT_EQ(event.signal.code, 0);
}

TEST_F(SourceProcess, MayEndWithoutBeingWaitedFor) {
  const pid_t child = start();
  const int id = channel_.add_process(child);
  end(id);
  let_end_ = Fd();
  must(waitpid(child, nullptr, 0), "waitpid");
  EXPECT_TRUE(quiet());
  expect_errors(
      {{"it is no more", [&] { return ec_add_process(channel_.get(), child, nullptr); }, ESRCH}});
}

// ------------------------------------------------------------------------------- message queues

class SourceMessageQueue : public Sources {
 protected:
  void SetUp() override {
    mq_attr attributes{};
    attributes.mq_maxmsg = 2;
    attributes.mq_msgsize = 16;
    const std::string name = "/sio-test-" + std::to_string(getpid());
    queue_ = mq_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK, 0600, &attributes);
    if (queue_ < 0) GTEST_SKIP() << "no message queues here: " << std::strerror(errno);
    mq_unlink(name.c_str());
  }
  void TearDown() override {
    if (queue_ >= 0) mq_close(queue_);
  }

  int add(uint32_t events) { return channel_.add_queue(queue_, events, &cookie_); }
  void send() { must(mq_send(queue_, "hello", 5, 0), "mq_send"); }
  void receive() {
    char message[16];
    EXPECT_EQ(mq_receive(queue_, message, sizeof message, nullptr), 5);
  }

  mqd_t queue_ = -1;
};

TEST_F(SourceMessageQueue, IsToldWhenThereIsAMessage) {
  const int id = add(EPOLLIN);
  EXPECT_TRUE(quiet());
  send();
  for (int i = 0; i < 3; ++i) {  // a level
    const event_data_t event = channel_.expect(EC_MQ);
    EXPECT_EQ(event.fd, queue_);
    EXPECT_EQ(event.cookie, &cookie_);
    EXPECT_EQ(event.ready, uint32_t{EPOLLIN});
  }
  receive();
  channel_.try_next(kQuiet);
  EXPECT_TRUE(quiet());
  send();
  channel_.expect(EC_MQ);
  end(id);
  EXPECT_TRUE(quiet());
  expect_ended(id);
}

TEST_F(SourceMessageQueue, IsToldWhenThereIsRoom) {
  for (int i = 0; i < 2; ++i) send();
  add(EPOLLOUT | EPOLLET);
  EXPECT_TRUE(quiet());
  receive();
  EXPECT_EQ(channel_.expect(EC_MQ).ready, uint32_t{EPOLLOUT});
}

TEST_F(SourceMessageQueue, RefusesWhatEpollDoesNotKnow) {
  const auto add = [this](uint32_t bits) {
    return ec_add_mq(channel_.get(), queue_, bits, nullptr);
  };
  expect_errors({
      {"no bit", [&] { return add(0); }, EINVAL},
      {"unknown bit", [&] { return add(EPOLLIN | 1u << 25); }, EINVAL},
  });
  const NoDescriptorsLeft none;
  expect_errors({{"no descriptor", [&] { return add(EPOLLIN); }, EMFILE}});
}

TEST_F(SourceMessageQueue, MayBeClosedByTheProgram) {
  add(EPOLLIN);
  const mqd_t other = must(dup(queue_), "dup");
  mq_close(std::exchange(queue_, other));
  EXPECT_TRUE(quiet());
  send();
  channel_.expect(EC_MQ);
}

// ------------------------------------------------------------------------------------- together

TEST_F(Sources, OfAllKindsComeThroughOneChannel) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGRTMIN + 5);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  sem_t semaphore;
  must(sem_init(&semaphore, 0, 1), "sem_init");
  std::set<uint32_t> wanted = {EC_USER, EC_SIGNAL, EC_TIMER, EC_SEM};
  channel_.add_signals(signals);
  channel_.add_timer(milliseconds(1));
  const int id = channel_.add_semaphore(semaphore);
  must(channel_.post(1), "ec_post");
  must(kill(getpid(), SIGRTMIN + 5), "kill");
  while (!wanted.empty()) wanted.erase(channel_.next().kind);
  end(id);
  sem_destroy(&semaphore);
}

}  // namespace
}  // namespace sio::test
