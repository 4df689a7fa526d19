// SPDX-License-Identifier: BSD-2-Clause
#include "conformance/fixtures.h"

#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

namespace sio::test {
namespace {

bool lacks_device() { return !have_address(); }

constexpr char kNoDevice[] =
    "neither SIO_RXE_SELF nor SIO_TEST_ADDRESS names an address of an RDMA device";
constexpr char kOneMachine[] = "is about one machine: runs in the run with one";

}  // namespace

void WireTest::SetUp() {
  if (lacks_device()) GTEST_SKIP() << kNoDevice;
}

void DeviceTest::SetUp() {
  if (machines() == 2) GTEST_SKIP() << kOneMachine;
  if (lacks_device()) GTEST_SKIP() << kNoDevice;
}

void PlainTest::SetUp() {
  if (machines() == 2) GTEST_SKIP() << kOneMachine;
}

Pair make_pair(const Channel* near_channel, const Channel* far_channel, uint32_t events) {
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Pair pair;
  pair.near = Socket::make(SOCK_NONBLOCK);
  if (near_channel != nullptr) pair.near.join(*near_channel, events);
  const int started = pair.near.try_connect(listener.name());
  if (started != EINPROGRESS) fail("sio_connect: %s", std::strerror(started));
  const ec_t far = far_channel == nullptr ? -1 : far_channel->get();
  pair.far = far_channel == nullptr
                 ? listener.accept()
                 : Socket(must(sio_accept_ec(listener.get(), nullptr, nullptr, 0, far, nullptr),
                               "sio_accept_ec"));
  if (near_channel != nullptr) {
    const event_data_t event = near_channel->expect(EC_CONNECT);
    if (event.error != 0) fail("EC_CONNECT: %s", std::strerror(event.error));
  } else if (!eventually([&] { return (pair.near.ready() & EPOLLOUT) != 0; })) {
    fail("not connected");
  }
  must(sio_nonblock(pair.near.get(), 0), "sio_nonblock");
  return pair;
}

void expect_errors(const std::vector<BadCall>& calls) {
  for (const BadCall& bad : calls) {
    errno = 0;
    const int result = bad.call();
    const int error = errno;
    EXPECT_EQ(result, -1) << bad.what;
    if (result != -1) continue;
    EXPECT_EQ(error, bad.error) << bad.what << ": " << std::strerror(error);
  }
}

// -------------------------------------------------------------------------------- interrupter

struct Interrupter::State {
  std::atomic<bool> stop{false};
  std::thread thread;
  struct sigaction before {};
};

Interrupter::Interrupter() : state_(std::make_unique<State>()) {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, &state_->before);
  state_->thread = std::thread([state = state_.get(), target = pthread_self()] {
    while (!state->stop) {
      std::this_thread::sleep_for(milliseconds(2));
      pthread_kill(target, SIGUSR1);
    }
  });
}

Interrupter::~Interrupter() {
  state_->stop = true;
  state_->thread.join();
  sigaction(SIGUSR1, &state_->before, nullptr);
}

bool await_asleep(pid_t thread) {
  int times = 0;
  const std::string path = "/proc/self/task/" + std::to_string(thread) + "/stat";
  return eventually([&] {
    std::string text;
    std::getline(std::ifstream(path), text);
    const size_t name_end = text.rfind(") ");
    const bool asleep = name_end != std::string::npos && text[name_end + 2] == 'S';
    times = asleep ? times + 1 : 0;
    return times == 3;
  });
}

}  // namespace sio::test
