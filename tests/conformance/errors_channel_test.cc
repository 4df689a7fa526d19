// SPDX-License-Identifier: BSD-2-Clause
//
// What the kernel refuses a channel is told as what it is. (docs/errors.md says which test provokes
// which error.)
#include <mqueue.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <thread>

#include "conformance/denials.h"
#include "conformance/fixtures.h"
#include "conformance/lines.h"
#include "conformance/peer.h"
#include "conformance/requests.h"

namespace sio::test {
namespace {

using ErrorsOfChannels = PlainTest;
using ErrorsOfSocketsInChannels = DeviceTest;

TEST_F(ErrorsOfChannels, AreTheKernelsWhenOneIsMade) {
  std::vector<event_data_t> ring(4);
  const auto with_ring = [&] { return ec_create_ring(0, ring.data(), ring.size()); };
  const auto create = [] { return ec_create(0); };
  expect_refusal(SYS_epoll_create1, ENFILE, create);
  expect_refusal(SYS_eventfd2, ENOMEM, create);
  expect_refusal(SYS_epoll_ctl, ENOSPC, create);
  expect_refusal(SYS_epoll_create1, EMFILE, with_ring);
  expect_refusal(SYS_epoll_create1, ENFILE, with_ring);
  expect_refusal(SYS_eventfd2, ENOMEM, with_ring);
  expect_refusal(SYS_epoll_ctl, ENOSPC, with_ring);
}

TEST_F(ErrorsOfChannels, AreTheKernelsWhenASourceIsAdded) {
  const Channel channel;
  const ec_t ec = channel.get();
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGRTMIN + 7);
  const itimerspec times{{}, {60, 0}};
  const Ends pipe = a_pipe();
  const auto descriptor = [&] { return ec_add_fd(ec, pipe.far.get(), EPOLLIN, nullptr); };
  const auto signal = [&] { return ec_add_signal(ec, &signals, nullptr); };
  const auto timer = [&] { return ec_add_timer(ec, CLOCK_MONOTONIC, &times, 0, nullptr); };
  const auto process = [&] { return ec_add_process(ec, getpid(), nullptr); };
  expect_refusal(SYS_epoll_ctl, ENOMEM, descriptor);
  expect_refusal(SYS_epoll_ctl, ENOSPC, descriptor);
  expect_refusal(SYS_signalfd4, ENFILE, signal);
  expect_refusal(SYS_signalfd4, ENOMEM, signal);
  expect_refusal(SYS_epoll_ctl, ENOSPC, signal);
  expect_refusal(SYS_timerfd_create, ENFILE, timer);
  expect_refusal(SYS_timerfd_create, ENOMEM, timer);
  expect_refusal(SYS_epoll_ctl, ENOSPC, timer);
  expect_refusal(SYS_pidfd_open, ENFILE, process);
  expect_refusal(SYS_pidfd_open, ENOMEM, process);
  expect_refusal(SYS_epoll_ctl, ENOSPC, process);
  must(descriptor(), "ec_add_fd");  // nothing of it was left
  EXPECT_EQ(ec_del_fd(ec, pipe.far.get()), 0);
}

TEST_F(ErrorsOfChannels, AreTheKernelsWhenAMessageQueueIsAdded) {
  const Channel channel;
  const std::string name = "/sio-test-" + std::to_string(getpid());
  const mqd_t queue = mq_open(name.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600, nullptr);
  if (queue == mqd_t{-1}) GTEST_SKIP() << "the system has no message queues for us";
  mq_unlink(name.c_str());
  const auto add = [&] { return ec_add_mq(channel.get(), queue, EPOLLIN, nullptr); };
  expect_refusal(SYS_fcntl, EMFILE, add);
  expect_refusal(SYS_epoll_ctl, ENOMEM, add);
  expect_refusal(SYS_epoll_ctl, ENOSPC, add);
  mq_close(queue);
}

// A thread waits for 127 words. When there is none that has room for one more, another is needed.
TEST_F(ErrorsOfChannels, AreEnomemForAWordThatNoThreadCanWaitFor) {
  const Channel channel;
  std::thread([ec = channel.get()] {
    forbid_call(SYS_clone);
    forbid_call(SYS_clone3, EAGAIN);
    static uint32_t word = 0;
    int added = 0;
    while (added < 5000 && ec_add_futex(ec, &word, 0, 0, nullptr) > 0) ++added;
    const int error = errno;
    if (error == ENOSYS) return;  // tested elsewhere
    EXPECT_EQ(error, ENOMEM);
  }).join();
}

TEST_F(ErrorsOfSocketsInChannels, AreTheKernelsWhenASocketIsTakenOut) {
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel);
  const Socket other = Socket::make();  // has what the hidden channel left
  const auto take_out = [&] { return ec_del_fd(channel.get(), socket.get()); };
  expect_refusal(SYS_eventfd2, ENFILE, take_out);
  expect_refusal(SYS_eventfd2, ENOMEM, take_out);
  expect_refusal(SYS_epoll_ctl, ENOSPC, take_out);
  EXPECT_EQ(take_out(), 0);
}

TEST_F(ErrorsOfSocketsInChannels, IsEmfileWhenTheChannelEndsBeforeThem) {
  const Channel channel;
  Peer peer("serve");
  Socket socket = Socket::make();
  socket.join(channel).connect(peer.address());
  peer.expect("accepted");
  peer.stop();
  socket.close();  // it stays a while: the peer does not end its side
  expect_refusal(SYS_fcntl, EMFILE, [&] { return ec_destroy(channel.get()); });
}

}  // namespace
}  // namespace sio::test
