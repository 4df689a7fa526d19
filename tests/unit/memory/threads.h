// SPDX-License-Identifier: BSD-2-Clause
//
// What the tests with many threads share.
#pragma once

#include <gtest/gtest.h>

#include <barrier>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "memory/area.h"
#include "random.h"

namespace sio::internal::test {

// Hands things from thread to thread.
template <typename T>
class Mailbox {
 public:
  void put(T item) {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
  }
  bool take(T& item) {
    const std::lock_guard lock(mutex_);
    if (items_.empty()) return false;
    item = std::move(items_.back());
    items_.pop_back();
    return true;
  }

 private:
  std::mutex mutex_;
  std::vector<T> items_;
};

struct Buffer {
  char* p;
  size_t n;
};

// Runs body(i) in `count` threads that begin together.
template <typename Body>
void in_threads(int count, Body body) {
  std::barrier start(count);
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      start.arrive_and_wait();
      body(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Calls with memory that it does not own; all must be refused. No block or message of these tests
// has the sizes it names.
class Stranger {
 public:
  Stranger(Area* area, size_t size, unsigned seed) : area_(area), size_(size), random_(seed) {}

  void misbehave() {
    char* p = base_ + random_.below(size_);
    EXPECT_EQ(area_->release(p, 77777), -EINVAL);
    EXPECT_EQ(area_->release(p, 0), -EINVAL);
    Flight flight;
    EXPECT_NE(area_->begin_flight(p, 77777, flight, false), 0);
    EXPECT_NE(area_->begin_flight(p, 3, flight, true), 0);
    Area::find(p);
  }

 private:
  Area* area_;
  char* base_ = area_->base();
  size_t size_;
  Random random_;
};

}  // namespace sio::internal::test
