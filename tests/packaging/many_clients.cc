// SPDX-License-Identifier: BSD-2-Clause
//
// many_clients ADDRESS PORT COUNT     holds COUNT connections to a server that sends back what
// comes
//
// Only when all of them are there does each send, three times, and get its own message back each
// time. Then all are there still, and end.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sio/coro.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>

namespace {

using namespace std::chrono_literals;
namespace coro = sio::coro;

constexpr int kRounds = 3;
constexpr int kAtOnce = 32;  // that connect
constexpr auto kLost = 60s;  // the server may be on a slow machine

class Crowd {
 public:
  Crowd(const sockaddr_in& to, int count) : to_(to), count_(count) {}

  // The most that there were at a time.
  int run() {
    for (int i = 0; i < count_; ++i) loop_.spawn(client(i));
    loop_.run();
    return most_;
  }

 private:
  coro::Task<> client(int number) {
    coro::Socket socket(loop_, AF_INET);
    socket->set(SIO_RECV_SLOTS, 2).set(SIO_SLOT_SIZE, 256).set(SIO_CONNECT_TIMEOUT, 60'000);
    while (connecting_ == kAtOnce) co_await loop_.sleep_for(1ms);
    ++connecting_;
    co_await socket.connect(to_);
    --connecting_;
    most_ = std::max(most_, ++connected_);
    while (most_ < count_) co_await loop_.sleep_for(10ms);
    for (int round = 0; round < kRounds; ++round) co_await talk(socket, number, round);
    ++served_;
    while (served_ < count_) co_await loop_.sleep_for(10ms);
    --connected_;
  }

  static coro::Task<> talk(coro::Socket& socket, int number, int round) {
    const std::string text = std::to_string(number) + ", " + std::to_string(round);
    co_await socket.send(text);
    const sio::Buffer answer = co_await socket.recv().within(kLost);
    if (answer.text() != text) throw std::runtime_error(text + ": this is not what came back");
  }

  const sockaddr_in to_;
  const int count_;
  coro::Loop loop_;
  int connecting_ = 0;
  int connected_ = 0;
  int most_ = 0;
  int served_ = 0;
};

}  // namespace

int main(int argc, char** argv) try {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  if (argc != 4 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
    std::fprintf(stderr, "usage: many_clients ADDRESS PORT COUNT\n");
    return 2;
  }
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[2])));
  const int most = Crowd(to, std::atoi(argv[3])).run();
  std::printf("%d connections at a time, %d messages each came back\n", most, kRounds);
} catch (const std::exception& error) {
  std::fprintf(stderr, "many_clients: %s\n", error.what());
  return 1;
}
