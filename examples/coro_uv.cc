// SPDX-License-Identifier: BSD-2-Clause
//
// coro_uv ADDRESS PORT [COUNT]      coroutines in a program of libuv's
//
// Sends a message each 10 ms, and ends when COUNT answers have come. A timer of libuv's says how
// often it has had its turn meanwhile.
#include <uv.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "common.h"
#include "coro_client.h"
#include "uv_channel.h"

static sio::coro::Task<> talk_and_stop(sio::coro::Loop& loop, sockaddr_in to, int count,
                                       uv_loop_t* uv) {
  co_await talk(loop, to, count);
  uv_stop(uv);
}

static void run(const sockaddr_in& to, int count) {
  uv_loop_t* const uv = uv_default_loop();
  int ticks = 0;
  uv_timer_t timer;
  uv_timer_init(uv, &timer);
  timer.data = &ticks;
  uv_timer_start(
      &timer, [](uv_timer_t* self) { ++*static_cast<int*>(self->data); }, 1, 1);
  {
    sio::coro::Loop loop;
    UvChannel channel(uv, loop.descriptor(), [&loop] { return loop.poll(); });
    loop.spawn(talk_and_stop(loop, to, count, uv));
    uv_run(uv, UV_RUN_DEFAULT);
    channel.rethrow();
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&timer), nullptr);
  uv_run(uv, UV_RUN_DEFAULT);  // until all is closed
  uv_loop_close(uv);
  std::printf("%s\n", ticks > 0 ? "the timer ticked" : "the timer did not tick");
}

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::fprintf(stderr, "usage: coro_uv ADDRESS PORT [COUNT]\n");
    return 2;
  }
  run(address(argv[1], argv[2]), argc > 3 ? std::atoi(argv[3]) : 10);
} catch (const std::exception& error) {
  std::fprintf(stderr, "coro_uv: %s\n", error.what());
  return 1;
}
