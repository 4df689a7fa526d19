// SPDX-License-Identifier: BSD-2-Clause
//
// coro_asio ADDRESS PORT [COUNT]      coroutines in a program of Boost.Asio
//
// Sends a message each 10 ms, and ends when COUNT answers have come. A timer of Asio's says whether
// it has had its turn meanwhile.
#include "asio_channel.h"
#include "common.h"
#include "coro_client.h"

namespace asio = boost::asio;
using namespace std::chrono_literals;

class Ticker {
 public:
  explicit Ticker(asio::io_context& context) : timer_(context) { tick(); }
  int ticks() const { return ticks_; }

 private:
  void tick() {
    timer_.expires_after(1ms);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      ++ticks_;
      tick();
    });
  }

  asio::steady_timer timer_;
  int ticks_ = 0;
};

static sio::coro::Task<> talk_and_stop(sio::coro::Loop& loop, sockaddr_in to, int count,
                                       asio::io_context& context) {
  co_await talk(loop, to, count);
  context.stop();
}

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::fprintf(stderr, "usage: coro_asio ADDRESS PORT [COUNT]\n");
    return 2;
  }
  const sockaddr_in to = address(argv[1], argv[2]);
  asio::io_context context;
  const Ticker ticker(context);
  sio::coro::Loop loop;
  const AsioChannel channel(context, loop.descriptor(), [&loop] { return loop.poll(); });
  loop.spawn(talk_and_stop(loop, to, argc > 3 ? std::atoi(argv[3]) : 10, context));
  context.run();
  std::printf("%s\n", ticker.ticks() > 0 ? "the timer ticked" : "the timer did not tick");
} catch (const std::exception& error) {
  std::fprintf(stderr, "coro_asio: %s\n", error.what());
  return 1;
}
