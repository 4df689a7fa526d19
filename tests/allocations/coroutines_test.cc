// SPDX-License-Identifier: BSD-2-Clause
//
// The same of coroutines (<sio/coro.hpp>): waiting for a message, for room, for a time and for a
// turn allocates nothing.
#include <sio/coro.hpp>

#include <string>

#include "allocations/measure.h"

namespace sio::test {
namespace {

using namespace std::chrono_literals;
using coro::Loop;
using coro::Task;

// A sender and a receiver that last, since a coroutine that begins asks for its own memory.
class CoroutineAllocations : public AllocationTest {
 protected:
  Task<> connect() {
    coro::Socket listener(loop_, Address::self().family());
    listener->bind(Address::self().storage()).listen();
    loop_.spawn(send(listener->name()));
    loop_.spawn(receive(co_await listener.accept()));
  }

  Task<> send(sockaddr_storage to) {
    const std::string text(64, 'x');
    coro::Socket socket(loop_, Address::self().family());
    co_await socket.connect(to);
    for (uint64_t sent = 0;;) {
      while (sent == wanted_) co_await loop_.yield();
      co_await socket.send(text).within(kSoon);
      if (++sent % 1000 == 0) co_await loop_.sleep_for(1us);
    }
  }

  // Now and then it takes nothing for a while, so that the other one has to wait.
  Task<> receive(coro::Socket socket) {
    for (;;) {
      const sio::Buffer message = co_await socket.recv().within(kSoon);
      if (++taken_ % 500 == 0) co_await loop_.sleep_for(2ms);
    }
  }

  void exchange(uint64_t n) {
    wanted_ += n;
    while (taken_ < wanted_) {
      if (!loop_.poll()) (void)loop_.channel().wait();
    }
  }

  Loop loop_;
  uint64_t wanted_ = 0;
  uint64_t taken_ = 0;
};

TEST_F(CoroutineAllocations, AreNone) {
  loop_.run(connect());
  expect_none(messages(500'000, 50'000), [&](uint64_t some) { exchange(some); });
}

}  // namespace
}  // namespace sio::test
