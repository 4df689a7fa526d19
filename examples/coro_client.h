// SPDX-License-Identifier: BSD-2-Clause
//
// What coro_asio and coro_uv do in their event loops: a coroutine that sends a message each 10 ms
// and prints what is sent back.
#ifndef EXAMPLES_CORO_CLIENT_H
#define EXAMPLES_CORO_CLIENT_H

#include <sio/coro.hpp>

#include <chrono>
#include <cstdio>
#include <string>

inline sio::coro::Task<> talk(sio::coro::Loop& loop, sockaddr_in to, int count) {
  using namespace std::chrono_literals;
  sio::coro::Socket socket(loop, AF_INET);
  co_await socket.connect(to);
  for (int i = 0; i < count; ++i) {
    const std::string text = "message " + std::to_string(i);
    co_await socket.send(text);
    const sio::Buffer answer = co_await socket.recv().within(5s);
    std::printf("%.*s\n", static_cast<int>(answer.size()), answer.text().data());
    co_await loop.sleep_for(10ms);
  }
}

#endif
