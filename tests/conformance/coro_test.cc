// SPDX-License-Identifier: BSD-2-Clause
//
// <sio/coro.hpp>: tasks, the loop, its timers and signals.
#include <poll.h>
#include <sio/coro.hpp>

#include <csignal>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "conformance/fixtures.h"

namespace sio::test {
namespace {

using namespace std::chrono_literals;
using coro::Loop;
using coro::Task;

using Coro = PlainTest;

// ---------------------------------------------------------------------------------------- tasks

Task<int> seven() { co_return 7; }

Task<> thrower() {
  throw std::runtime_error("thrown");
  co_return;
}

TEST_F(Coro, TaskBeginsWhenItIsAwaitedAndReturnsItsResult) {
  bool begun = false;
  const auto inner = [&]() -> Task<std::unique_ptr<int>> {
    begun = true;
    co_return std::make_unique<int>(co_await seven());
  };
  const auto outer = [&]() -> Task<int> {
    Task<std::unique_ptr<int>> task = inner();
    EXPECT_FALSE(begun);
    const auto result = co_await std::move(task);
    co_return *result + 1;
  };
  Loop loop;
  EXPECT_EQ(loop.run(outer()), 8);
  EXPECT_TRUE(begun);
  { const auto never = inner(); }
}

TEST_F(Coro, ExceptionGoesToWhoAwaits) {
  Loop loop;
  const auto late = [&]() -> Task<int> {
    co_await loop.sleep_for(1ms);
    co_await thrower();
    co_return 0;
  };
  const auto outer = [&]() -> Task<std::string> {
    try {
      co_await late();
    } catch (const std::runtime_error& error) {
      co_return error.what();
    }
    co_return "";
  };
  EXPECT_EQ(loop.run(outer()), "thrown");
  EXPECT_THROW(loop.run(late()), std::runtime_error);
  EXPECT_THROW(loop.run(thrower()), std::runtime_error);
  EXPECT_EQ(loop.run(seven()), 7) << "the loop is as it was";
}

TEST_F(Coro, TasksThatEndAtOnceTakeNoStack) {
  const auto sum = []() -> Task<int> {
    int sum = 0;
    for (int i = 0; i < 1'000'000; ++i) sum += co_await seven();
    co_return sum;
  };
  Loop loop;
  EXPECT_EQ(loop.run(sum()), 7'000'000);
}

Task<int> depth(Loop& loop, int levels) {
  if (levels == 0) {
    co_await loop.yield();
    co_return 0;
  }
  co_return co_await depth(loop, levels - 1) + 1;
}

TEST_F(Coro, TasksEndLaterOneAfterTheOther) {
  Loop loop;
  EXPECT_EQ(loop.run(depth(loop, 1000)), 1000);
}

// ----------------------------------------------------------------------------------- what is
// spawned

TEST_F(Coro, RunLastsUntilAllThatWasSpawnedHasEnded) {
  Loop loop;
  int ended = 0;
  const auto child = [&](int generations, auto& self) -> Task<> {
    co_await loop.yield();
    if (generations > 0) {
      loop.spawn(self(generations - 1, self));
      loop.spawn(self(generations - 1, self));
    }
    ++ended;
  };
  loop.run();
  loop.spawn(child(5, child));
  EXPECT_EQ(ended, 0) << "not before the loop runs";
  loop.run();
  EXPECT_EQ(ended, 63);
}

TEST_F(Coro, ExceptionOfWhatWasSpawnedIsHandledOrComesOut) {
  Loop loop;
  bool ended = false;
  const auto other = [&]() -> Task<> {
    for (int i = 0; i < 10; ++i) co_await loop.yield();
    ended = true;
  };
  int handled = 0;
  loop.spawn(thrower());
  loop.spawn(other());
  loop.spawn(thrower(), [&](std::exception_ptr failure) {
    EXPECT_THROW(std::rethrow_exception(failure), std::runtime_error);
    ++handled;
  });
  loop.spawn(thrower(), [](std::exception_ptr) { throw std::logic_error("the handler's"); });
  EXPECT_THROW(loop.run(), std::runtime_error);
  EXPECT_THROW(loop.run(), std::logic_error);
  loop.run();
  EXPECT_EQ(handled, 1);
  EXPECT_TRUE(ended);
}

TEST_F(Coro, LoopDestroysWhatWaits) {
  const auto alive = std::make_shared<int>();
  {
    Loop loop;
    const auto inner = [&](std::shared_ptr<int>) -> Task<> { co_await loop.sleep_for(1h); };
    const auto outer = [&](std::shared_ptr<int> held) -> Task<> { co_await inner(held); };
    const auto begins = [&](std::shared_ptr<int>) -> Task<> { co_await loop.yield(); };
    const auto run = [&]() -> Task<> { co_await loop.sleep_for(1ms); };
    loop.spawn(outer(alive));
    loop.run(run());
    loop.spawn(begins(alive));
    EXPECT_EQ(alive.use_count(), 4);
  }
  EXPECT_EQ(alive.use_count(), 1);
}

TEST_F(Coro, TaskThatIsRunIsDestroyedWhenAnotherFails) {
  Loop loop;
  const auto alive = std::make_shared<int>();
  const auto waits = [&](std::shared_ptr<int>) -> Task<> { co_await loop.sleep_for(1h); };
  loop.spawn(thrower());
  EXPECT_THROW(loop.run(waits(alive)), std::runtime_error);
  EXPECT_EQ(alive.use_count(), 1);
}

TEST_F(Coro, CoroutinesYieldInTurn) {
  Loop loop;
  std::string order;
  const auto run = [&](char name) -> Task<> {
    for (int i = 0; i < 3; ++i) {
      order += name;
      co_await loop.yield();
    }
  };
  for (const char name : {'a', 'b', 'c'}) loop.spawn(run(name));
  loop.run();
  EXPECT_EQ(order, "abcabcabc");
}

// --------------------------------------------------------------------------------------- timers

TEST_F(Coro, SleepersWakeInOrder) {
  Loop loop;
  std::string order;
  const auto begin = Clock::now();
  const auto sleep = [&](char name, milliseconds time) -> Task<> {
    co_await loop.sleep_until(begin + time);
    EXPECT_GE(Clock::now(), begin + time);
    order += name;
  };
  loop.spawn(sleep('d', 60ms));
  loop.spawn(sleep('b', 20ms));
  loop.spawn(sleep('c', 40ms));
  loop.spawn(sleep('e', 60ms));
  loop.spawn(sleep('a', -1h));
  loop.run();
  EXPECT_EQ(order, "abcde");
  EXPECT_LT(since(begin), kSoon);
}

TEST_F(Coro, SleepOfNoTimeAndForEver) {
  Loop loop;
  bool woken = false;
  const auto never = [&]() -> Task<> {
    co_await loop.sleep_for(std::chrono::nanoseconds::max());
    woken = true;
  };
  const auto at_once = [&]() -> Task<> {
    co_await loop.sleep_for(0ns);
    co_await loop.sleep_for(-1s);
    co_await loop.sleep_for(1ns);
    co_await loop.sleep_for(1ms);
  };
  loop.spawn(never());
  loop.run(at_once());
  EXPECT_FALSE(woken);
}

// Against a list that is in order.
TEST_F(Coro, AlarmsAreInOrderWhateverIsCancelled) {
  std::mt19937 random(1);
  const auto below = [&](size_t n) { return random() % n; };
  std::vector<coro::detail::Alarm> alarms(300);
  coro::detail::Alarms heap;
  std::map<std::pair<Clock::time_point, int>, size_t> model;
  std::vector<std::pair<Clock::time_point, int>> keys(alarms.size());
  const auto cancel = [&](size_t i) {
    heap.cancel(alarms[i]);
    model.erase(keys[i]);
  };
  for (int step = 0; step < 100'000; ++step) {
    const size_t i = below(alarms.size());
    switch (below(3)) {
      case 0:
        cancel(i);
        break;
      case 1:
        if (!model.empty()) cancel(model.begin()->second);
        break;
      default:
        model.erase(keys[i]);
        keys[i] = {Clock::time_point(milliseconds(below(100))), step};
        model[keys[i]] = i;
        heap.set(alarms[i], keys[i].first);
    }
    const auto* expected = model.empty() ? nullptr : &alarms[model.begin()->second];
    ASSERT_EQ(heap.earliest(), expected) << "step " << step;
  }
}

// -------------------------------------------------------------------------------------- signals

class CoroSignals : public PlainTest {
 protected:
  CoroSignals() {  // the other threads of this program have blocked all signals
    sigemptyset(&set_);
    for (const int signal : {SIGRTMIN + 5, SIGRTMIN + 6}) sigaddset(&set_, signal);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~CoroSignals() override { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  static void queue(int value, int signal) {
    must(sigqueue(getpid(), signal, {.sival_int = value}), "sigqueue");
  }

  sigset_t set_;
  sigset_t before_;
};

TEST_F(CoroSignals, ComeToWhoWaits) {
  Loop loop;
  coro::Signals signals(loop, {SIGRTMIN + 5, SIGRTMIN + 6});
  std::vector<int> values;
  const auto take = [&](int count) -> Task<> {
    for (int i = 0; i < count; ++i) {
      const auto signal = co_await signals.next();
      EXPECT_EQ(signal.sent.pid, getpid());
      values.push_back(signal.sent.value.sival_int);
      EXPECT_EQ(signal.number, values.size() == 1 ? SIGRTMIN + 6 : SIGRTMIN + 5);
    }
  };
  const auto send = [&]() -> Task<> {
    for (int i = 1; i <= 4; ++i) {
      queue(i, i == 1 ? SIGRTMIN + 6 : SIGRTMIN + 5);
      while (values.size() < static_cast<size_t>(i)) co_await loop.sleep_for(1ms);
    }
  };
  loop.spawn(take(2));
  loop.spawn(take(2));
  loop.spawn(send());
  loop.run();
  EXPECT_EQ(values, (std::vector{1, 2, 3, 4}));
}

TEST_F(CoroSignals, AreKeptWhileNobodyWaits) {
  Loop loop;
  const auto run = [&]() -> Task<> {
    coro::Signals signals(loop, set_);
    for (int i = 0; i < 3; ++i) queue(i, SIGRTMIN + 5);
    co_await loop.sleep_for(10ms);
    for (int i = 0; i < 3; ++i) EXPECT_EQ((co_await signals.next()).sent.value.sival_int, i);
  };
  loop.run(run());
}

TEST_F(CoroSignals, WhoWaitsIsToldOfTheirEnd) {
  Loop loop;
  auto signals = std::make_unique<coro::Signals>(loop, set_);
  int error = 0;
  const auto wait = [&]() -> Task<> {
    try {
      co_await signals->next();
    } catch (const std::system_error& failure) {
      error = failure.code().value();
    }
  };
  const auto end = [&]() -> Task<> {
    signals.reset();
    co_return;
  };
  loop.spawn(wait());
  loop.spawn(end());
  loop.run();
  EXPECT_EQ(error, ECANCELED);
  EXPECT_THROW(coro::Signals(loop, {SIGKILL}), std::system_error);
}

// ------------------------------------------------------------------- other loops, other events

// As another loop does: sleeps on the descriptor when there is nothing to do.
void drive(Loop& loop, const bool& ended) {
  pollfd ready{loop.descriptor(), POLLIN, 0};
  while (!ended) {
    while (loop.poll()) {
    }
    if (ended) return;
    if (::poll(&ready, 1, static_cast<int>(kSoon.count())) != 1) fail("nothing wakes us");
  }
}

TEST_F(Coro, AnotherLoopIsWokenByTheDescriptor) {
  Loop loop;
  bool ended = false;
  const auto run = [&]() -> Task<> {
    for (int i = 0; i < 5; ++i) co_await loop.sleep_for(2ms);
    ended = true;
  };
  loop.spawn(run());
  drive(loop, ended);
  EXPECT_FALSE(loop.poll());
}

TEST_F(Coro, EventsOfOthersGoToTheirHandler) {
  Loop loop;
  std::vector<uint64_t> posted;
  uint32_t timers = 0;
  loop.on_event([&](const event_data_t& event) {
    if (event.kind == EC_USER) posted.push_back(event.value);
    if (event.kind == EC_TIMER && event.cookie == &timers) ++timers;
  });
  const auto run = [&]() -> Task<> {
    for (uint64_t i = 0; i < 100; ++i) must(loop.channel().post(i), "post");
    loop.channel().add_timer(1ms, {}, &timers);
    while (timers == 0) co_await loop.sleep_for(1ms);
  };
  loop.run(run());
  std::vector<uint64_t> expected(100);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(posted, expected);
}

// What was taken from the channel with it is not lost.
TEST_F(Coro, HandlerMayThrow) {
  Loop loop;
  int told = 0;
  loop.on_event([&](const event_data_t&) {
    if (++told == 2) throw std::runtime_error("the handler's");
  });
  for (int i = 0; i < 3; ++i) must(loop.channel().post(0), "post");
  EXPECT_THROW(while (loop.poll()){}, std::runtime_error);
  while (loop.poll()) {
  }
  EXPECT_EQ(told, 3);
}

TEST_F(Coro, LoopMayHaveARingOfTheProgram) {
  std::vector<event_data_t> ring(2);
  Loop loop{sio::Channel(0, ring)};
  EXPECT_EQ(loop.run(seven()), 7);
  sio::Channel empty(0u);
  EXPECT_TRUE(empty.close());
  EXPECT_THROW(Loop{std::move(empty)}, std::system_error);
}

}  // namespace
}  // namespace sio::test
