// SPDX-License-Identifier: BSD-2-Clause
//
// coro_echo ADDRESS PORT        each message goes back to who sent it, until SIGINT or SIGTERM
//
// A coroutine for each connection, all in one thread. Thousands need a limit of descriptors that
// allows it (ulimit -n).
#include <sio/coro.hpp>

#include <cstdio>
#include <exception>
#include <utility>

#include "common.h"

namespace coro = sio::coro;

static coro::Task<> echo(coro::Socket peer) {
  while (sio::Buffer message = co_await peer.recv()) co_await peer.send(std::move(message));
}

static coro::Task<> serve(coro::Loop& loop, sockaddr_in at) {
  coro::Socket listener(loop, AF_INET);
  listener->set(SIO_RECV_SLOTS, 4).set(SIO_SLOT_SIZE, 4096).bind(at).listen(4096);
  const auto ignore = [](std::exception_ptr) {};  // a connection has failed: the others go on
  for (;;) loop.spawn(echo(co_await listener.accept()), ignore);
}

static coro::Task<int> ended(coro::Loop& loop, const sigset_t& signals) {
  coro::Signals ends(loop, signals);
  co_return (co_await ends.next()).number;
}

int main(int argc, char** argv) try {
  if (argc != 3) return std::fprintf(stderr, "usage: coro_echo ADDRESS PORT\n"), 2;
  const sockaddr_in at = address(argv[1], argv[2]);
  sigset_t signals;
  sigemptyset(&signals), sigaddset(&signals, SIGINT), sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, nullptr);  // before there is any other thread
  coro::Loop loop;
  loop.spawn(serve(loop, at));
  std::printf("signal %d\n", loop.run(ended(loop, signals)));
} catch (const std::exception& error) {
  return std::fprintf(stderr, "coro_echo: %s\n", error.what()), 1;
}
