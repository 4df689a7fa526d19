// SPDX-License-Identifier: BSD-2-Clause
#include "base/mutex.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <mutex>
#include <thread>
#include <vector>

namespace sio::internal {
namespace {

TEST(Mutex, IsTakenByOneAtATime) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 50'000;
  Mutex mutex;
  long count = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        const std::lock_guard lock(mutex);
        ++count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, long{kThreads} * kRounds);
}

TEST(Mutex, IsNotTakenTwice) {
  Mutex mutex;
  EXPECT_TRUE(mutex.try_lock());
  EXPECT_FALSE(mutex.try_lock());
  mutex.unlock();
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

// Long enough for all of them to sleep: each that leaves wakes the next.
TEST(Mutex, WakesEachThatSleepsForIt) {
  Mutex mutex;
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  mutex.lock();
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      const std::lock_guard lock(mutex);
      ++done;
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(done, 0);
  mutex.unlock();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, 3);
}

// A call that has slept for a lock says no more in errno than one that has not. A signal interrupts
// the sleep, which the kernel tells in errno.
TEST(Mutex, LeavesErrnoAlone) {
  struct sigaction before = {};
  struct sigaction nothing = {};
  nothing.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGUSR1, &nothing, &before), 0);
  Mutex mutex;
  mutex.lock();
  std::thread other([&] {
    errno = EDOM;
    mutex.lock();
    EXPECT_EQ(errno, EDOM);
    mutex.unlock();
  });
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    pthread_kill(other.native_handle(), SIGUSR1);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  mutex.unlock();
  other.join();
  sigaction(SIGUSR1, &before, nullptr);
}

}  // namespace
}  // namespace sio::internal
