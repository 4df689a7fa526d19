// SPDX-License-Identifier: BSD-2-Clause
#include "socket/backlog.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace sio::internal {
namespace {

using Pause = std::optional<milliseconds>;

constexpr milliseconds kFirst = Backlog::kFirstPause;
constexpr milliseconds kLongest = Backlog::kLongestPause;

// A connection that asks, of which the backlog needs no more than the name.
class Asker final : public provider::Endpoint {
 public:
  explicit Asker(uint64_t serial) : serial_(serial) {}
  uint64_t serial() const noexcept override { return serial_; }

  int bind(const sockaddr*, bool) noexcept override { return -EOPNOTSUPP; }
  int listen(int) noexcept override { return -EOPNOTSUPP; }
  int resolve(const sockaddr*, int) noexcept override { return -EOPNOTSUPP; }
  int connect(std::span<const std::byte>) noexcept override { return -EOPNOTSUPP; }
  int accept(std::span<const std::byte>) noexcept override { return -EOPNOTSUPP; }
  int reject(std::span<const std::byte>) noexcept override { return -EOPNOTSUPP; }
  int disconnect() noexcept override { return -EOPNOTSUPP; }
  sockaddr_storage local_address() const noexcept override { return {}; }
  sockaddr_storage peer_address() const noexcept override { return {}; }
  provider::Device* device() const noexcept override { return nullptr; }
  provider::PortInfo port_info() const override { return {}; }
  std::unique_ptr<provider::QueuePair> create_queue_pair(provider::CompletionQueue&,
                                                         const provider::QueueSizes&) override {
    return nullptr;
  }
  std::unique_ptr<provider::SecondQueuePair> create_second_pair(
      provider::CompletionQueue&, const provider::QueueSizes&) override {
    return nullptr;
  }
  std::unique_ptr<provider::Destination> source_of(const ibv_wc&, const void*) override {
    return nullptr;
  }

 private:
  uint64_t serial_;
};

class BacklogTest : public testing::Test {
 protected:
  BacklogTest() { backlog_.set_limit(8); }

  static Backlog::Queue asker(uint64_t serial) {
    return Backlog::newcomer(std::make_unique<Asker>(serial), wire::Hello{});
  }
  void ask(uint64_t serial) { backlog_.add(asker(serial)); }

  // All events that are owed reach the program, which takes them; their number.
  int tell() {
    int told = 0;
    for (; backlog_.owes_event(); ++told) {
      backlog_.event_given();
      backlog_.event_taken();
    }
    return told;
  }

  uint64_t accept() { return backlog_.take_first().front().endpoint->serial(); }

  // The program has tried to accept the first, in vain, `after` the start.
  Pause refuse(milliseconds after = milliseconds(0)) {
    backlog_.put_back(backlog_.take_first());
    return backlog_.tell_later(start_ + after);
  }

  // The timer: how many events tell of what waits.
  int time() {
    backlog_.came_due();
    backlog_.tell_again();
    return tell();
  }

  Backlog backlog_;
  const TimePoint start_ = Clock::now();
};

TEST_F(BacklogTest, HoldsNoMoreThanItsLimit) {
  for (const auto& [wish, limit] : {std::pair{-1, 1}, {0, 1}, {3, 3}}) {
    Backlog backlog;
    EXPECT_FALSE(backlog.has_limit());
    backlog.set_limit(wish);
    EXPECT_TRUE(backlog.has_limit());
    for (int i = 0; i < limit; ++i) {
      EXPECT_FALSE(backlog.full()) << wish;
      backlog.add(asker(static_cast<uint64_t>(i)));
    }
    EXPECT_TRUE(backlog.full()) << wish;
  }
}

TEST_F(BacklogTest, GivesThemInTheOrderInWhichTheyCame) {
  for (uint64_t i = 1; i <= 3; ++i) ask(i);
  EXPECT_EQ(accept(), 1u);
  EXPECT_EQ(accept(), 2u);
  EXPECT_EQ(accept(), 3u);
  EXPECT_TRUE(backlog_.empty());
}

TEST_F(BacklogTest, PutsBackInFront) {
  for (uint64_t i = 1; i <= 2; ++i) ask(i);
  Backlog::Queue first = backlog_.take_first();
  EXPECT_FALSE(first.front().refused);
  EXPECT_FALSE(backlog_.holds(1));
  backlog_.put_back(std::move(first));
  first = backlog_.take_first();
  EXPECT_EQ(first.front().endpoint->serial(), 1u);
  EXPECT_TRUE(first.front().refused);
}

TEST_F(BacklogTest, ForgetsWhoHasGivenUp) {
  for (uint64_t i = 1; i <= 3; ++i) ask(i);
  EXPECT_TRUE(backlog_.holds(2));
  backlog_.forget(2);
  EXPECT_FALSE(backlog_.holds(2));
  EXPECT_EQ(accept(), 1u);
  EXPECT_EQ(accept(), 3u);
}

// However many come and go while the program takes no events.
TEST_F(BacklogTest, OwesNoEventsForThoseWhoHaveGivenUp) {
  for (uint64_t i = 1; i <= 1000; ++i) {
    ask(i);
    if (i > 2) backlog_.forget(i);
  }
  EXPECT_EQ(tell(), 2);
  backlog_.forget(1);
  EXPECT_EQ(tell(), 0);
}

// The call that takes one may fail after others have given up: it is told of all the same.
TEST_F(BacklogTest, TellsAgainOfOneThatWasPutBackWhenTheOthersHadGivenUp) {
  for (uint64_t i = 1; i <= 2; ++i) ask(i);
  Backlog::Queue first = backlog_.take_first();
  backlog_.forget(2);
  EXPECT_EQ(tell(), 0);
  backlog_.put_back(std::move(first));
  EXPECT_EQ(backlog_.tell_later(start_), Pause(kFirst));
  EXPECT_EQ(time(), 1);
}

TEST_F(BacklogTest, TellsOfEachOnceAndOfNoneThatWasGivenUpWithTheRest) {
  for (uint64_t i = 1; i <= 2; ++i) ask(i);
  EXPECT_EQ(tell(), 2);
  EXPECT_EQ(tell(), 0);
  ask(3);
  EXPECT_EQ(backlog_.take_all().size(), 3u);
  EXPECT_EQ(tell(), 0);
  EXPECT_TRUE(backlog_.empty());
}

// Accepted one after another, as events came: nobody is told twice.
TEST_F(BacklogTest, TellsNobodyAgainWhileNothingWasRefused) {
  for (uint64_t i = 1; i <= 3; ++i) ask(i);
  EXPECT_EQ(tell(), 3);
  accept();
  EXPECT_FALSE(backlog_.tell_again());
}

TEST_F(BacklogTest, TellsAgainTwiceAsLateUpToTheLongestPause) {
  ask(1);
  tell();
  milliseconds now(0);
  for (const milliseconds pause :
       {kFirst, 2 * kFirst, 4 * kFirst, 8 * kFirst, 16 * kFirst, kLongest, kLongest, kLongest}) {
    EXPECT_EQ(refuse(now), Pause(pause));
    now += pause;
    EXPECT_EQ(time(), 1);
    EXPECT_EQ(time(), 0);  // once, for one refusal
  }
}

TEST_F(BacklogTest, KeepsTheClockThatRunsUnlessItRunsLonger) {
  ask(1);
  tell();
  refuse();
  time();
  EXPECT_EQ(refuse(kFirst), Pause(2 * kFirst));  // until 3
  EXPECT_EQ(refuse(2 * kFirst), std::nullopt);   // would be 4 or later
  // The second in line has not been asked of before: it is, before the first is again.
  backlog_.forget(1);
  ask(2);
  EXPECT_EQ(refuse(kFirst), Pause(kFirst));
}

// Three were refused: one event after the pause, and as each is accepted one for the next.
TEST_F(BacklogTest, TellsOfTheNextWhenOneWasAccepted) {
  for (uint64_t i = 1; i <= 3; ++i) ask(i);
  EXPECT_EQ(tell(), 3);
  EXPECT_EQ(refuse(), Pause(kFirst));
  EXPECT_EQ(refuse(), std::nullopt);
  EXPECT_EQ(refuse(), std::nullopt);
  EXPECT_EQ(time(), 1);
  for (uint64_t i = 1; i <= 2; ++i) {
    EXPECT_EQ(accept(), i);
    EXPECT_TRUE(backlog_.tell_again());
    EXPECT_EQ(tell(), 1);
  }
  EXPECT_EQ(accept(), 3u);
  EXPECT_FALSE(backlog_.tell_again());
}

// An event that the program has yet to take says the same, wherever it is.
TEST_F(BacklogTest, DoesNotTellWhatAnEventStillSays) {
  for (uint64_t i = 1; i <= 2; ++i) ask(i);
  refuse();  // the program did not wait for an event
  backlog_.came_due();
  EXPECT_FALSE(backlog_.tell_again());  // two are owed
  backlog_.event_given();
  EXPECT_FALSE(backlog_.tell_again());  // one is owed, one is on its way
  backlog_.event_given();
  backlog_.event_taken();
  EXPECT_TRUE(backlog_.tell_again());  // one is on its way, and two wait
  EXPECT_TRUE(backlog_.owes_event());
}

TEST_F(BacklogTest, DoesNotTellOfWhoHasGoneMeanwhile) {
  ask(1);
  tell();
  refuse();
  backlog_.forget(1);
  EXPECT_EQ(time(), 0);
  ask(2);
  EXPECT_EQ(tell(), 1);
  EXPECT_FALSE(backlog_.tell_again());  // nobody refused that one
}

}  // namespace
}  // namespace sio::internal
