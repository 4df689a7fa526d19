// SPDX-License-Identifier: BSD-2-Clause
//
// What tests build on. environment.cc adds to each test a watchdog, and afterwards the check that
// no receiver was ever not ready.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>

#include "conformance/support.h"

namespace sio::test {

// Tests that need an RDMA device and exchange their traffic with a Peer: they run within one
// machine and between two.
class WireTest : public testing::Test {
 protected:
  void SetUp() override;
};

// Tests that are about this process alone, but need a device.
class DeviceTest : public testing::Test {
 protected:
  void SetUp() override;
};

// Tests that need none.
class PlainTest : public testing::Test {
 protected:
  void SetUp() override;
};

// Both ends of a connection in this process.
struct Pair {
  Socket near;
  Socket far;
};
// `near` connects, `far` is accepted; each in its channel, if it has one.
Pair make_pair(const Channel* near_channel = nullptr, const Channel* far_channel = nullptr,
               uint32_t events = EC_DELIVER);

// For this test: receivers may be found not ready, the peer is meant to send too much.
void tolerate_rnr();
// For this test: the watchdog's time.
void allow_time(milliseconds time);

// Misuse, as a table: each call fails with its errno.
struct BadCall {
  const char* what;
  std::function<int()> call;
  int error;
};
void expect_errors(const std::vector<BadCall>& calls);

// Sends a signal with an empty handler to the thread that made it, again and again, until it is
// destroyed: what that thread waits in ends with EINTR.
class Interrupter {
 public:
  Interrupter();
  ~Interrupter();
  Interrupter(const Interrupter&) = delete;
  Interrupter& operator=(const Interrupter&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A thread's state in /proc: true once it is asleep, three looks in a row.
bool await_asleep(pid_t thread);

}  // namespace sio::test
