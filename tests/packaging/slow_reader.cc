// SPDX-License-Identifier: BSD-2-Clause
//
// slow_reader ADDRESS PORT COUNT     sends COUNT messages to a server that sends them back
//
// Reads nothing until the server takes no more. Then each must come back, whole and in its order.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sio/sio.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <thread>

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr size_t kBytes = 8000;  // each a slot's, none travels in a train
constexpr auto kFull = 500ms;    // without room for so long: the server is held up
constexpr auto kLost = 20s;

class SlowReader {
 public:
  SlowReader(const sockaddr_in& to, int count) : count_(count) {
    socket_.associate(area_, DMA_SEND).connect(to);
    socket_.set_nonblocking(true);
  }

  void send_until_full() {
    for (auto last = Clock::now(); sent_ < count_ && Clock::now() - last < kFull;) {
      if (send())
        last = Clock::now();
      else
        std::this_thread::sleep_for(1ms);
    }
    std::printf("%d were sent before the first was read\n", sent_);
  }

  void read_all() {
    for (auto last = Clock::now(); read_ < count_;) {
      const bool some = receive();
      if (send() || some) {
        last = Clock::now();
      } else if (Clock::now() - last > kLost) {
        throw std::runtime_error(std::to_string(read_) + " of " + std::to_string(sent_) +
                                 " came back");
      } else {
        std::this_thread::sleep_for(1ms);
      }
    }
    std::printf("%d messages came back\n", read_);
  }

 private:
  bool send() {
    if (sent_ == count_) return false;
    sio::Buffer buffer = area_.reserve(kBytes);
    if (!buffer) return false;
    std::ranges::fill(buffer.bytes(), mark(sent_));
    const sio::Status status = socket_.send(std::move(buffer));
    if (!status && !status.again()) throw std::system_error(status.code(), "send");
    sent_ += status ? 1 : 0;
    return status.ok();
  }

  bool receive() {
    const auto [status, message] = socket_.receive(MSG_DONTWAIT);
    if (status.again()) return false;
    if (!status) throw std::system_error(status.code(), "receive");
    const auto is_ours = [this](std::byte one) { return one == mark(read_); };
    if (message.size() != kBytes || !std::ranges::all_of(message.bytes(), is_ours))
      throw std::runtime_error("message " + std::to_string(read_) + " is missing or another");
    ++read_;
    return true;
  }

  static std::byte mark(int number) { return static_cast<std::byte>(number % 251); }

  const int count_;
  sio::Area area_{size_t{1} << 20};
  sio::Socket socket_{AF_INET};
  int sent_ = 0;
  int read_ = 0;
};

}  // namespace

int main(int argc, char** argv) try {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  if (argc != 4 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
    std::fprintf(stderr, "usage: slow_reader ADDRESS PORT COUNT\n");
    return 2;
  }
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[2])));
  SlowReader reader(to, std::atoi(argv[3]));
  reader.send_until_full();
  reader.read_all();
} catch (const std::exception& error) {
  std::fprintf(stderr, "slow_reader: %s\n", error.what());
  return 1;
}
