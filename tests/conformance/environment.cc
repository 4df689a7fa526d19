// SPDX-License-Identifier: BSD-2-Clause
//
// What happens around every test: a time limit (a hang is a failure and not an endless run), and
// the check that the devices never found a receiver not ready, which exact credits promise.
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "conformance/counters.h"
#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "provider/soft/queue_pair.h"

namespace sio::test {
namespace {

constexpr std::chrono::seconds kTestLimit{60};

// Where each thread is.
void print_threads() {
  std::error_code none;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", none)) {
    std::string name;
    std::string call;
    std::getline(std::ifstream(task.path() / "comm"), name);
    std::getline(std::ifstream(task.path() / "syscall"), call);
    std::fprintf(stderr, "  thread %s (%s): system call %s\n", task.path().filename().c_str(),
                 name.c_str(), call.c_str());
  }
}

class Watchdog {
 public:
  void start() {
    std::thread([this] { watch(); }).detach();
  }

  void arm(const std::string& test, milliseconds limit) {
    const std::lock_guard lock(mutex_);
    test_ = test;
    end_ = Clock::now() + limit;
    changed_.notify_one();
  }
  void extend(milliseconds limit) { arm(test_, limit); }
  void disarm() { arm("", std::chrono::hours(24 * 365)); }

 private:
  [[noreturn]] void watch() {
    // Signals are for the threads of the test.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    std::unique_lock lock(mutex_);
    for (;;) {
      if (Clock::now() >= end_) break;
      changed_.wait_until(lock, end_);
    }
    std::fprintf(stderr, "watchdog: %s hangs\n", test_.c_str());
    print_threads();
    std::fflush(stdout);
    std::abort();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string test_;
  Clock::time_point end_ = Clock::now() + std::chrono::hours(24 * 365);
};

Watchdog& watchdog() {
  static auto* const one = new Watchdog;  // its thread never ends
  return *one;
}

bool rnr_tolerated = false;

// Of the device, or of both machines' devices.
std::optional<uint64_t> count_all_rnr() {
  if (on_soft()) return internal::provider::soft::receivers_not_ready.load();
  std::optional<uint64_t> sum = count_rnr();
  if (machines() == 1) return sum;
  const std::string text = Peer("counters").expect("rnr");
  if (text != "none") sum = sum.value_or(0) + std::stoull(text);
  return sum;
}

class AroundEachTest : public testing::EmptyTestEventListener {
 public:
  void OnTestStart(const testing::TestInfo& info) override {
    rnr_tolerated = false;
    const auto limit = std::chrono::duration_cast<milliseconds>(kTestLimit);
    watchdog().arm(std::string(info.test_suite_name()) + '.' + info.name(), limit);
  }

  void OnTestEnd(const testing::TestInfo&) override {
    watchdog().disarm();
    try {
      const auto before = std::exchange(rnr_, count_all_rnr());
      EXPECT_TRUE(rnr_tolerated || rnr_ == before) << "receivers were not ready";
    } catch (const std::exception& error) {
      ADD_FAILURE() << "RNR counters: " << error.what();
    }
  }

 private:
  std::optional<uint64_t> rnr_ = count_all_rnr();
};

class WholeRun : public testing::Environment {
 public:
  void SetUp() override {
    std::signal(SIGPIPE, SIG_IGN);  // of the agent's connections; the library raises none
    set_complaint_handler([](const std::string& text) { ADD_FAILURE() << text; });
    if (machines() == 1) start_local_agent();
    watchdog().start();
    testing::UnitTest::GetInstance()->listeners().Append(new AroundEachTest);
    if (!count_all_rnr()) std::printf("no RNR counters on this machine: they are not checked\n");
  }

  void TearDown() override { end_local_agent(); }
};

[[maybe_unused]] testing::Environment* const whole_run =
    testing::AddGlobalTestEnvironment(new WholeRun);

}  // namespace

void tolerate_rnr() { rnr_tolerated = true; }

void allow_time(milliseconds time) { watchdog().extend(time); }

}  // namespace sio::test
