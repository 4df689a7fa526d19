// SPDX-License-Identifier: BSD-2-Clause
//
// Asynchronous requests on files and on the kernel's sockets, and the four ways in which their ends
// are told.
#include <poll.h>
#include <sio/aio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <fstream>
#include <string>
#include <thread>

#include "conformance/counters.h"
#include "conformance/denials.h"
#include "conformance/fixtures.h"
#include "conformance/requests.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

class AioTest : public PlainTest {
 protected:
  void SetUp() override {
    PlainTest::SetUp();
    if (no_uring()) GTEST_SKIP() << "io_uring is forbidden here";
  }

  void expect_event(aio_cb& block, size_t bytes, int error = 0) {
    const event_data_t event = channel_.expect(EC_AIO);
    EXPECT_EQ(event.cookie, &block);
    EXPECT_EQ(event.fd, block.aio_fildes);
    EXPECT_EQ(event.error, error);
    EXPECT_EQ(event.data.len, bytes);
    EXPECT_EQ(aio_cb_error(&block), error);
  }

  Channel channel_;
  char buffer_[4096]{};
};

// ---------------------------------------------------------------------------------------- files

using AioFiles = AioTest;

TEST_F(AioFiles, AreWrittenAndReadWhereTheRequestSays) {
  const Fd file = file_in_memory();
  char text[] = "written at an offset";
  aio_cb write = told_in(channel_, on(file.get(), text, sizeof text, 1000));
  must(aio_write_ec(&write), "aio_write_ec");
  expect_event(write, sizeof text);
  EXPECT_EQ(aio_cb_return(&write), static_cast<ssize_t>(sizeof text));
  aio_cb read = told_in(channel_, on(file.get(), buffer_, sizeof buffer_, 1000));
  must(aio_read_ec(&read), "aio_read_ec");
  const event_data_t event = channel_.expect(EC_AIO);
  EXPECT_EQ(event.data.buf, buffer_);
  EXPECT_EQ(event.data.len, sizeof text);
  EXPECT_EQ(event.data.mem, nullptr);
  EXPECT_STREQ(buffer_, text);
  EXPECT_FALSE(channel_.try_next(kQuiet));
}

TEST_F(AioFiles, EndWithWhatTheKernelSays) {
  aio_cb nowhere = told_in(channel_, on(-1, buffer_, 1));
  must(aio_read_ec(&nowhere), "aio_read_ec");
  expect_event(nowhere, 0, EBADF);
  EXPECT_EQ(aio_cb_return(&nowhere), -1);
  EXPECT_EQ(errno, EBADF);
  const Fd file = file_in_memory();
  aio_cb no_socket = told_in(channel_, on(file.get(), buffer_, 1));
  must(aio_send(&no_socket, 0), "aio_send");
  expect_event(no_socket, 0, ENOTSOCK);
  aio_cb at_end = told_in(channel_, on(file.get(), buffer_, 1));
  must(aio_read_ec(&at_end), "aio_read_ec");
  expect_event(at_end, 0);
}

TEST_F(AioFiles, AreReadIntoAnAreaWhoseBlockIsInFlightMeanwhile) {
  const Area area(1 << 16);
  Message block = Message::reserve(area, 4096);
  const Ends pipe = a_pipe();
  aio_cb read = told_in(channel_, on(pipe.far.get(), block.data(), 4096));
  must(aio_read_ec(&read), "aio_read_ec");
  EXPECT_EQ(accounts(area.get()).in_flight, 4096u);
  EXPECT_EQ(sio_release(area.get(), block.data(), 4096), -1);
  EXPECT_EQ(errno, EINVAL);
  must(static_cast<int>(write(pipe.near.get(), "text", 4)), "write");
  const event_data_t event = channel_.expect(EC_AIO);
  EXPECT_EQ(event.data.mem, area.get());
  EXPECT_EQ(event.data.len, 4u);
  EXPECT_EQ(accounts(area.get()).in_flight, 0u);
  EXPECT_EQ(block.view().substr(0, 4), "text");
}

TEST_F(AioFiles, AreReadByManyThreadsAtOnce) {
  const Fd file = file_in_memory();
  const Pattern pattern(7);
  std::vector<char> data(1 << 20);
  pattern.fill(data.data(), 0, data.size());
  must(static_cast<int>(write(file.get(), data.data(), data.size())), "write");
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, own = thread % 2 == 0] {
      const Channel other;
      std::vector<char> piece(4096);
      for (uint64_t i = 0; i < scaled(200); ++i) {
        const auto at = static_cast<off_t>(i % 256 * 4096);
        aio_cb read = on(file.get(), piece.data(), piece.size(), at);
        if (own) read = told_in(other, read);
        must(aio_read_ec(&read), "aio_read_ec");
        if (own) other.expect(EC_AIO);
        wrong += outcome(read) != 4096;
        wrong += std::memcmp(piece.data(), data.data() + at, 4096) != 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

// ------------------------------------------------------------------------------ kernel's sockets

using AioKernelSockets = AioTest;

TEST_F(AioKernelSockets, SendAndReceive) {
  const Ends ends = kernel_sockets();
  aio_cb receive = told_in(channel_, on(ends.far.get(), buffer_, sizeof buffer_));
  must(aio_recv(&receive, 0), "aio_recv");
  EXPECT_EQ(aio_cb_error(&receive), EINPROGRESS);
  EXPECT_EQ(aio_cb_return(&receive), -1);
  EXPECT_EQ(errno, EINPROGRESS);
  char text[] = "hello";
  aio_cb send = on(ends.near.get(), text, 5);
  must(aio_send(&send, 0), "aio_send");
  EXPECT_EQ(outcome(send), 5);
  expect_event(receive, 5);
  EXPECT_STREQ(buffer_, "hello");
}

TEST_F(AioKernelSockets, SendAndReceiveMessagesInPieces) {
  const Ends ends = kernel_sockets(SOCK_SEQPACKET);
  char head[] = "head";
  char tail[] = "tail";
  iovec from[] = {{head, 4}, {tail, 4}};
  iovec to[] = {{buffer_, 6}, {buffer_ + 100, 100}};
  msghdr out{};
  out.msg_iov = from;
  out.msg_iovlen = 2;
  msghdr in{};
  in.msg_iov = to;
  in.msg_iovlen = 2;
  aio_cb send = told_in(channel_, with(out, on(ends.near.get(), nullptr, 0)));
  must(aio_sendmsg(&send, 0), "aio_sendmsg");
  const event_data_t sent = channel_.expect(EC_AIO);
  EXPECT_EQ(sent.data.buf, &out);
  EXPECT_EQ(sent.data.len, 8u);
  aio_cb receive = told_in(channel_, with(in, on(ends.far.get(), nullptr, 0)));
  must(aio_recvmsg(&receive, 0), "aio_recvmsg");
  expect_event(receive, 8);
  EXPECT_STREQ(buffer_, "headta");
  EXPECT_STREQ(buffer_ + 100, "il");
}

// A thread's end is no reason for its requests to end, nor is a request's end one to interrupt it.
TEST_F(AioKernelSockets, OutliveTheThreadThatQueuedThem) {
  const Ends ends = kernel_sockets();
  aio_cb receive = told_in(channel_, on(ends.far.get(), buffer_, sizeof buffer_));
  std::thread([&] { must(aio_recv(&receive, 0), "aio_recv"); }).join();
  EXPECT_FALSE(channel_.try_next(kQuiet));
  must(static_cast<int>(write(ends.near.get(), "late", 4)), "write");
  expect_event(receive, 4);
}

TEST_F(AioKernelSockets, InterruptNobody) {
  const Ends ends = kernel_sockets();
  const Channel other;
  for (int i = 0; i < 20; ++i) {
    aio_cb receive = told_in(other, on(ends.far.get(), buffer_, 1));
    must(aio_recv(&receive, 0), "aio_recv");
    std::thread writer([&] {
      std::this_thread::sleep_for(milliseconds(2));
      must(static_cast<int>(write(ends.near.get(), "x", 1)), "write");
    });
    timespec limit = to_timespec(milliseconds(10));
    EXPECT_EQ(ec_delay(channel_.get(), &limit), -1);
    EXPECT_EQ(errno, ETIMEDOUT);
    writer.join();
    other.expect(EC_AIO);
  }
}

TEST_F(AioKernelSockets, WakeWhoSleepsOnTheChannelsDescriptor) {
  const Ends ends = kernel_sockets();
  pollfd descriptor{must(ec_to_fd(channel_.get()), "ec_to_fd"), POLLIN, 0};
  for (int i = 0; i < 20; ++i) {
    aio_cb receive = told_in(channel_, on(ends.far.get(), buffer_, 1));
    must(aio_recv(&receive, 0), "aio_recv");
    event_data_t event;
    EXPECT_EQ(ec_next_event(channel_.get(), &event), -1);
    EXPECT_EQ(poll(&descriptor, 1, 2), 0);
    std::thread writer([&] { must(static_cast<int>(write(ends.near.get(), "x", 1)), "write"); });
    EXPECT_EQ(poll(&descriptor, 1, static_cast<int>(kSoon.count())), 1);
    EXPECT_EQ(ec_next_event(channel_.get(), &event), 0);
    EXPECT_EQ(event.cookie, &receive);
    writer.join();
  }
}

TEST_F(AioKernelSockets, OutliveAChildThatIsForked) {
  const Ends ends = kernel_sockets();
  aio_cb receive = told_in(channel_, on(ends.far.get(), buffer_, 1));
  must(aio_recv(&receive, 0), "aio_recv");
  const pid_t child = must(fork(), "fork");
  if (child == 0) _exit(0);
  int status = 0;
  must(waitpid(child, &status, 0), "waitpid");
  EXPECT_FALSE(channel_.try_next(kQuiet));
  must(static_cast<int>(write(ends.near.get(), "x", 1)), "write");
  expect_event(receive, 1);
}

TEST_F(AioKernelSockets, BrokenPipesRaiseNoSignal) {
  struct sigaction before {};
  struct sigaction fatal {};
  fatal.sa_handler = SIG_DFL;
  sigaction(SIGPIPE, &fatal, &before);
  Ends pipe = a_pipe();
  pipe.far.reset();
  aio_cb write = told_in(channel_, on(pipe.near.get(), buffer_, 1));
  must(aio_write_ec(&write), "aio_write_ec");
  expect_event(write, 0, EPIPE);
  Ends ends = kernel_sockets();
  ends.far.reset();
  aio_cb send = told_in(channel_, on(ends.near.get(), buffer_, 1));
  must(aio_send(&send, 0), "aio_send");
  expect_event(send, 0, EPIPE);
  sigaction(SIGPIPE, &before, nullptr);
}

TEST_F(AioKernelSockets, AreHeldBackWhileTheRingIsFull) {
  const Channel small(0, 4);
  const Fd file = file_in_memory();
  std::deque<aio_cb> requests;
  for (int i = 0; i < 100; ++i) {
    requests.push_back(told_in(small, on(file.get(), buffer_, 1)));
    must(aio_write_ec(&requests.back()), "aio_write_ec");
  }
  for (aio_cb& one : requests) EXPECT_EQ(outcome(one), 1);
  std::vector<bool> told(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    const event_data_t event = small.expect(EC_AIO);
    const auto* const block = static_cast<const aio_cb*>(event.cookie);
    const auto which = std::find_if(requests.begin(), requests.end(),
                                    [=](const aio_cb& one) { return &one == block; });
    ASSERT_NE(which, requests.end());
    const auto number = static_cast<size_t>(which - requests.begin());
    EXPECT_FALSE(told[number]);
    told[number] = true;
  }
  EXPECT_FALSE(small.try_next(kQuiet));
}

TEST_F(AioKernelSockets, EventsThatNobodyTookGoWithTheirChannel) {
  const Fd file = file_in_memory();
  aio_cb write;
  {
    const Channel small(0, 2);
    for (int i = 0; i < 8; ++i) {
      write = told_in(small, on(file.get(), buffer_, 1));
      must(aio_write_ec(&write), "aio_write_ec");
      EXPECT_EQ(outcome(write), 1);
    }
  }
  EXPECT_EQ(aio_cb_error(&write), 0);
}

TEST_F(AioKernelSockets, KeepTheirChannelUntilTheyEnd) {
  const Ends ends = kernel_sockets();
  const ec_t ec = must(ec_create(0), "ec_create");
  aio_cb receive = on(ends.far.get(), buffer_, 1);
  receive.aio_sigevent.sigev_notify = SIGEV_EC;
  receive.aio_sigevent.sigev_ec = ec;
  must(aio_recv(&receive, 0), "aio_recv");
  EXPECT_EQ(ec_destroy(ec), -1);
  EXPECT_EQ(errno, EBUSY);
  must(aio_cb_cancel(&receive), "aio_cb_cancel");
  EXPECT_EQ(outcome(receive), -ECANCELED);
  EXPECT_EQ(ec_destroy(ec), 0);
}

TEST_F(AioKernelSockets, AreCancelled) {
  const Ends ends = kernel_sockets();
  const Ends pipe = a_pipe();
  aio_cb receive = told_in(channel_, on(ends.far.get(), buffer_, 1));
  must(aio_recv(&receive, 0), "aio_recv");
  must(aio_cb_cancel(&receive), "aio_cb_cancel");
  must(aio_cb_cancel(&receive) == 0 || errno == ENOENT ? 0 : -1, "twice");
  expect_event(receive, 0, ECANCELED);
  EXPECT_EQ(aio_cb_cancel(&receive), -1);
  EXPECT_EQ(errno, ENOENT);
  aio_cb read = on(pipe.far.get(), buffer_, 1);
  must(aio_read_ec(&read), "aio_read_ec");
  must(aio_cb_cancel(&read), "aio_cb_cancel");
  EXPECT_EQ(outcome(read), -ECANCELED);
}

// ------------------------------------------------------------------------- signals and threads

class AioNotices : public AioTest {
 protected:
  static constexpr int kTold = 4711;
};

TEST_F(AioNotices, ComeAsASignal) {
  sigset_t signals;
  sigset_t before;
  sigemptyset(&signals);
  sigaddset(&signals, SIGRTMIN + 7);
  pthread_sigmask(SIG_BLOCK, &signals, &before);
  const Fd file = file_in_memory();
  aio_cb write = on(file.get(), buffer_, 16);
  write.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
  write.aio_sigevent.sigev_signo = SIGRTMIN + 7;
  write.aio_sigevent.sigev_value.sival_int = kTold;
  must(aio_write_ec(&write), "aio_write_ec");
  siginfo_t info{};
  const timespec limit = to_timespec(kSoon);
  EXPECT_EQ(sigtimedwait(&signals, &info, &limit), SIGRTMIN + 7);
  EXPECT_EQ(info.si_code, SI_ASYNCIO);
  EXPECT_EQ(info.si_value.sival_int, kTold);
  EXPECT_EQ(aio_cb_error(&write), 0);
  EXPECT_EQ(aio_cb_return(&write), 16);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// Signals that are queued now, for all processes of this user: what the limit is about.
rlim_t signals_queued() {
  std::ifstream status("/proc/self/status");
  std::string word;
  rlim_t queued = 0;
  while (status >> word && word != "SigQ:") {
  }
  status >> queued;
  return queued;
}

// None is lost when the kernel can queue no more for the moment.
TEST_F(AioNotices, WaitWhenSignalsCanNotBeQueued) {
  sigset_t signals;
  sigset_t before_set;
  sigemptyset(&signals);
  sigaddset(&signals, SIGRTMIN + 7);
  pthread_sigmask(SIG_BLOCK, &signals, &before_set);
  rlimit before{};
  must(getrlimit(RLIMIT_SIGPENDING, &before), "getrlimit");
  const rlimit few{signals_queued() + 3, before.rlim_max};
  must(setrlimit(RLIMIT_SIGPENDING, &few), "setrlimit");
  const Fd file = file_in_memory();
  constexpr int kRequests = 20;
  std::deque<aio_cb> requests;
  for (int i = 0; i < kRequests; ++i) {
    aio_cb& write = requests.emplace_back(on(file.get(), buffer_, 1));
    write.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
    write.aio_sigevent.sigev_signo = SIGRTMIN + 7;
    write.aio_sigevent.sigev_value.sival_int = 1 << i;
    must(aio_write_ec(&write), "aio_write_ec");
  }
  for (aio_cb& one : requests) EXPECT_EQ(outcome(one), 1);
  int told = 0;
  for (int i = 0; i < kRequests; ++i) {
    siginfo_t info{};
    const timespec limit = to_timespec(kSoon);
    EXPECT_EQ(sigtimedwait(&signals, &info, &limit), SIGRTMIN + 7) << i;
    if (HasFailure())
      break;  // with the limit lifted the rest comes, and the next test has a chance
    told += info.si_value.sival_int;
  }
  EXPECT_EQ(told, (1 << kRequests) - 1);
  must(setrlimit(RLIMIT_SIGPENDING, &before), "setrlimit");
  pthread_sigmask(SIG_SETMASK, &before_set, nullptr);
}

TEST_F(AioNotices, ComeAsACallInAThread) {
  const Fd file = file_in_memory();
  Called called;
  aio_cb write = called.told_by(on(file.get(), buffer_, 16));
  must(aio_write_ec(&write), "aio_write_ec");
  ASSERT_TRUE(eventually([&] { return called.called.load(); }));
  EXPECT_FALSE(pthread_equal(called.thread, pthread_self()));
  EXPECT_EQ(aio_cb_return(&write), 16);
}

TEST_F(AioNotices, ComeInAThreadWithTheAttributesGiven) {
  constexpr size_t kStack = size_t{64} << 20;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kStack);
  const Fd file = file_in_memory();
  Called called;
  aio_cb write = called.told_by(on(file.get(), buffer_, 1));
  write.aio_sigevent.sigev_notify_attributes = &attributes;
  must(aio_write_ec(&write), "aio_write_ec");
  ASSERT_TRUE(eventually([&] { return called.called.load(); }));
  EXPECT_GE(called.stack, kStack);
  pthread_attr_destroy(&attributes);
}

// --------------------------------------------------------------------------------------- suspend

using AioSuspend = AioTest;

TEST_F(AioSuspend, WaitsForAnyOfThem) {
  const Ends ends = kernel_sockets();
  const Ends pipe = a_pipe();
  const Channel other;
  aio_cb receive = told_in(channel_, on(ends.far.get(), buffer_, 1));
  aio_cb read = told_in(other, on(pipe.far.get(), buffer_ + 1, 1));
  must(aio_recv(&receive, 0), "aio_recv");
  must(aio_read_ec(&read), "aio_read_ec");
  EXPECT_EQ(suspend({&receive, nullptr, &read}, milliseconds(20)), ETIMEDOUT);
  std::thread writer([&] {
    std::this_thread::sleep_for(kQuiet);
    must(static_cast<int>(write(pipe.near.get(), "x", 1)), "write");
  });
  EXPECT_EQ(suspend({&receive, nullptr, &read}), 0);
  EXPECT_EQ(aio_cb_error(&receive), EINPROGRESS);
  EXPECT_EQ(aio_cb_error(&read), 0);
  writer.join();
  EXPECT_EQ(suspend({&receive, &read}), 0);  // at once
  must(aio_cb_cancel(&receive), "aio_cb_cancel");
  EXPECT_EQ(outcome(receive), -ECANCELED);
}

TEST_F(AioSuspend, HearsOfWhatAnotherThreadHasTaken) {
  const Ends ends = kernel_sockets();
  for (int i = 0; i < 50; ++i) {
    aio_cb receive = told_in(channel_, on(ends.far.get(), buffer_, 1));
    must(aio_recv(&receive, 0), "aio_recv");
    std::thread taker([&] { channel_.expect(EC_AIO); });
    std::thread writer([&] { must(static_cast<int>(write(ends.near.get(), "x", 1)), "write"); });
    EXPECT_EQ(suspend({&receive}), 0);
    taker.join();
    writer.join();
  }
}

TEST_F(AioSuspend, EndsWithASignal) {
  const Ends ends = kernel_sockets();
  aio_cb receive = on(ends.far.get(), buffer_, 1);
  must(aio_recv(&receive, 0), "aio_recv");
  {
    const Interrupter interrupter;
    EXPECT_EQ(suspend({&receive}), EINTR);
  }
  must(aio_cb_cancel(&receive), "aio_cb_cancel");
  EXPECT_EQ(outcome(receive), -ECANCELED);
}

// --------------------------------------------------------------------------------------- misuse

using AioMisuse = AioTest;

TEST_F(AioMisuse, OfArguments) {
  const Fd file = file_in_memory();
  const Area area(1 << 16);
  void* const elsewhere = accounts(area.get()).base;  // not the program's
  aio_cb no_such_way = on(file.get(), buffer_, 1);
  no_such_way.aio_sigevent.sigev_notify = SIGEV_THREAD_ID;
  aio_cb no_signal = on(file.get(), buffer_, 1);
  no_signal.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
  aio_cb too_large_signal = no_signal;
  too_large_signal.aio_sigevent.sigev_signo = SIGRTMAX + 1;
  aio_cb no_function = on(file.get(), buffer_, 1);
  no_function.aio_sigevent.sigev_notify = SIGEV_THREAD;
  aio_cb no_channel = told_in(channel_, on(file.get(), buffer_, 1));
  no_channel.aio_sigevent.sigev_ec = file.get();
  aio_cb before_the_file = on(file.get(), buffer_, 1, -1);
  aio_cb nowhere = on(file.get(), nullptr, 1);
  aio_cb not_ours = on(file.get(), elsewhere, 1);
  aio_cb plain = on(file.get(), buffer_, 1);
  msghdr no_pieces{};
  no_pieces.msg_iovlen = 1;
  aio_cb bad_message = with(no_pieces, plain);
  expect_errors({
      {"no request", [] { return aio_send(nullptr, 0); }, EINVAL},
      {"a way to be told that is none", [&] { return aio_read_ec(&no_such_way); }, EINVAL},
      {"signal 0", [&] { return aio_read_ec(&no_signal); }, EINVAL},
      {"a signal that is none", [&] { return aio_read_ec(&too_large_signal); }, EINVAL},
      {"no function", [&] { return aio_read_ec(&no_function); }, EINVAL},
      {"not a channel", [&] { return aio_read_ec(&no_channel); }, EBADF},
      {"a negative offset", [&] { return aio_write_ec(&before_the_file); }, EINVAL},
      {"to nowhere", [&] { return aio_read_ec(&nowhere); }, EINVAL},
      {"from nowhere", [&] { return aio_write_ec(&nowhere); }, EINVAL},
      {"to memory of an area", [&] { return aio_read_ec(&not_ours); }, EFAULT},
      {"no message", [&] { return aio_sendmsg(&plain, 0); }, EINVAL},
      {"nor one to receive", [&] { return aio_recvmsg(&plain, 0); }, EINVAL},
      {"a message without pieces", [&] { return aio_sendmsg(&bad_message, 0); }, EINVAL},
      {"SIO_RELEASE", [&] { return aio_send(&plain, SIO_RELEASE); }, EINVAL},
  });
}

TEST_F(AioMisuse, OfRequestsThatWereNeverQueued) {
  const Fd file = file_in_memory();
  aio_cb fresh = on(file.get(), buffer_, 1);
  const aio_cb* const list[] = {&fresh};
  const aio_cb* const nothing[] = {nullptr};
  const timespec odd{0, 1'000'000'000};
  const timespec zero{};
  expect_errors({
      {"error", [&] { return aio_cb_error(&fresh); }, EINVAL},
      {"error of none", [&] { return aio_cb_error(nullptr); }, EINVAL},
      {"return", [&] { return static_cast<int>(aio_cb_return(&fresh)); }, EINVAL},
      {"return of none", [&] { return static_cast<int>(aio_cb_return(nullptr)); }, EINVAL},
      {"cancel", [&] { return aio_cb_cancel(&fresh); }, EINVAL},
      {"cancel none", [&] { return aio_cb_cancel(nullptr); }, EINVAL},
      {"suspend", [&] { return aio_cb_suspend(list, 1, &zero); }, EINVAL},
      {"suspend for nothing", [&] { return aio_cb_suspend(nothing, 1, &zero); }, EINVAL},
      {"suspend without a list", [&] { return aio_cb_suspend(nullptr, 1, &zero); }, EINVAL},
      {"suspend for 0", [&] { return aio_cb_suspend(list, 0, &zero); }, EINVAL},
      {"suspend for an odd time", [&] { return aio_cb_suspend(list, 1, &odd); }, EINVAL},
  });
}

TEST_F(AioMisuse, OfOneThatIsUnderWay) {
  const Ends ends = kernel_sockets();
  aio_cb receive = told_in(channel_, on(ends.far.get(), buffer_, 1));
  must(aio_recv(&receive, 0), "aio_recv");
  EXPECT_EQ(aio_recv(&receive, 0), -1);
  EXPECT_EQ(errno, EBUSY);
  must(static_cast<int>(write(ends.near.get(), "xy", 2)), "write");
  expect_event(receive, 1);
  must(aio_recv(&receive, 0), "aio_recv");  // again, without clearing it
  expect_event(receive, 1);
}

TEST_F(AioMisuse, OfTooManyAtOnce) {
  const Ends ends = kernel_sockets(SOCK_DGRAM);
  for (const bool in_channel : {true, false}) {
    std::deque<aio_cb> requests;
    const auto one_more = [&] {
      const aio_cb plain = on(ends.far.get(), buffer_, 1);
      requests.push_back(in_channel ? told_in(channel_, plain) : plain);
      return aio_recv(&requests.back(), 0);
    };
    for (int i = 0; i < AIO_CB_MAX; ++i) ASSERT_EQ(one_more(), 0) << i;
    EXPECT_EQ(one_more(), -1);
    EXPECT_EQ(errno, EAGAIN);
    requests.pop_back();
    for (aio_cb& one : requests) must(aio_cb_cancel(&one), "aio_cb_cancel");
    for (aio_cb& one : requests) EXPECT_EQ(outcome(one), -ECANCELED);
    for (size_t i = 0; in_channel && i < requests.size(); ++i) channel_.expect(EC_AIO);
    ASSERT_EQ(one_more(), 0);
    must(aio_cb_cancel(&requests.back()), "aio_cb_cancel");
    EXPECT_EQ(outcome(requests.back()), -ECANCELED);
  }
}

TEST_F(AioMisuse, WhereIoUringIsForbidden) {
  const Fd file = file_in_memory();
  const Channel fresh;
  aio_cb read = told_in(fresh, on(file.get(), buffer_, 1));
  std::thread([&] {
    forbid_call(SYS_io_uring_setup, EPERM);
    EXPECT_EQ(aio_read_ec(&read), -1);
    EXPECT_EQ(errno, ENOSYS);
  }).join();
  EXPECT_EQ(aio_cb_error(&read), -1);
  must(aio_read_ec(&read), "aio_read_ec");
  EXPECT_EQ(outcome(read), 0);
}

TEST_F(AioMisuse, WithoutDescriptorsLeft) {
  const Fd file = file_in_memory();
  const Channel fresh;
  aio_cb read = told_in(fresh, on(file.get(), buffer_, 1));
  const Ends ends = kernel_sockets();
  aio_cb receive = told_in(channel_, on(ends.far.get(), buffer_, 1));
  must(aio_recv(&receive, 0), "aio_recv");
  {
    const NoDescriptorsLeft none;
    EXPECT_EQ(aio_read_ec(&read), -1);
    EXPECT_EQ(errno, EMFILE);
    EXPECT_EQ(suspend({&receive}), EMFILE);
  }
  must(aio_cb_cancel(&receive), "aio_cb_cancel");
  EXPECT_EQ(outcome(receive), -ECANCELED);
}

TEST_F(AioMisuse, GivesBackWhatItTook) {
  const auto come_and_go = [this] {
    const Channel channel;
    const Fd file = file_in_memory();
    aio_cb write = told_in(channel, on(file.get(), buffer_, 1));
    must(aio_write_ec(&write), "aio_write_ec");
    channel.expect(EC_AIO);
  };
  come_and_go();
  const size_t descriptors = open_descriptors();
  for (int i = 0; i < 20; ++i) come_and_go();
  EXPECT_EQ(open_descriptors(), descriptors);
}

}  // namespace
}  // namespace sio::test
