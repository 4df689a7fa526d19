// SPDX-License-Identifier: BSD-2-Clause
#include "control/control_thread.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <atomic>
#include <future>
#include <memory>

#include "base/error.h"

namespace sio::internal {
namespace {

constexpr std::chrono::seconds kLong{60};
constexpr milliseconds kSoon{5};

class ControlThreadTest : public testing::Test {
 protected:
  ControlThread& control_ = ControlThread::instance();
  std::promise<void> ran_;

  auto tell() {
    return [this] { ran_.set_value(); };
  }
  bool ran_within(std::chrono::seconds limit) {
    return ran_.get_future().wait_for(limit) == std::future_status::ready;
  }
};

TEST_F(ControlThreadTest, RunsWhatIsPosted) {
  control_.post(tell());
  EXPECT_TRUE(ran_within(std::chrono::seconds(10)));
}

TEST_F(ControlThreadTest, RunsATimerThatComesBeforeThoseItSleepsFor) {
  const ControlThread::Timer later = control_.at(Clock::now() + kLong, [] {});
  std::this_thread::sleep_for(kSoon);  // it has gone to sleep until then
  control_.at(Clock::now() + kSoon, tell());
  EXPECT_TRUE(ran_within(std::chrono::seconds(10)));
  control_.cancel(later);
}

TEST_F(ControlThreadTest, NeverRunsATimerEarly) {
  const TimePoint when = Clock::now() + milliseconds(20);
  TimePoint ran_at{};
  control_.at(when, [&] {
    ran_at = Clock::now();
    ran_.set_value();
  });
  ASSERT_TRUE(ran_within(std::chrono::seconds(10)));
  EXPECT_GE(ran_at, when);
}

TEST_F(ControlThreadTest, ForgetsWhatACancelledTimerHeld) {
  auto held = std::make_shared<int>();
  const ControlThread::Timer timer = control_.at(Clock::now() + kLong, [held] { (void)held; });
  EXPECT_EQ(held.use_count(), 2);
  control_.cancel(timer);
  EXPECT_EQ(held.use_count(), 1);
  control_.cancel(timer);  // does nothing
}

TEST_F(ControlThreadTest, WatchesADescriptorOnce) {
  const OwnFd fd(check_errno(eventfd(1, EFD_CLOEXEC), "eventfd"));  // stays readable
  std::atomic<int> times{0};
  control_.watch_once(fd.get(), [&] { ++times; });
  std::this_thread::sleep_for(kSoon);
  control_.post(tell());
  EXPECT_TRUE(ran_within(std::chrono::seconds(10)));
  EXPECT_EQ(times, 1);
}

}  // namespace
}  // namespace sio::internal
