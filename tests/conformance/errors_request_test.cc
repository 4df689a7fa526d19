// SPDX-License-Identifier: BSD-2-Clause
//
// Errors that the calls which queue a request have in common, from each of them. (docs/errors.md
// says which test provokes which error.)
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <thread>
#include <vector>

#include "conformance/denials.h"
#include "conformance/fixtures.h"
#include "conformance/lines.h"
#include "conformance/peer.h"
#include "conformance/requests.h"

namespace sio::test {
namespace {

// The calls that queue this one.
std::vector<BadCall> all_six(aio_cb* block, int error) {
  return {
      {"aio_send", [=] { return aio_send(block, 0); }, error},
      {"aio_recv", [=] { return aio_recv(block, 0); }, error},
      {"aio_sendmsg", [=] { return aio_sendmsg(block, 0); }, error},
      {"aio_recvmsg", [=] { return aio_recvmsg(block, 0); }, error},
      {"aio_read_ec", [=] { return aio_read_ec(block); }, error},
      {"aio_write_ec", [=] { return aio_write_ec(block); }, error},
  };
}

class ErrorsOfRequests : public DeviceTest {
 protected:
  ErrorsOfRequests() {
    message_.msg_iov = &piece_;
    message_.msg_iovlen = 1;
  }
  void SetUp() override {
    DeviceTest::SetUp();
    if (!IsSkipped() && no_uring()) GTEST_SKIP() << "no io_uring here";
  }

  // For any of the six.
  aio_cb any_on(int fd) { return with(message_, on(fd, buffer_, 1)); }

  char buffer_[64]{};
  iovec piece_{buffer_, 1};
  msghdr message_{};
  Channel channel_;
};

TEST_F(ErrorsOfRequests, OfNoneOfOneUnderWayAndOfNoChannel) {
  const Ends ends = kernel_sockets();
  aio_cb receive = any_on(ends.far.get());
  must(aio_recv(&receive, 0), "aio_recv");
  aio_cb no_channel = told_in(channel_, any_on(ends.far.get()));
  no_channel.aio_sigevent.sigev_ec = ends.near.get();
  expect_errors(all_six(nullptr, EINVAL));
  expect_errors(all_six(&receive, EBUSY));
  expect_errors(all_six(&no_channel, EBADF));
  must(aio_cb_cancel(&receive), "aio_cb_cancel");
  EXPECT_EQ(outcome(receive), -ECANCELED);
}

TEST_F(ErrorsOfRequests, OfTooManyAtOnce) {
  const Ends ends = kernel_sockets(SOCK_DGRAM);
  std::deque<aio_cb> requests;
  for (int i = 0; i < AIO_CB_MAX; ++i) {
    requests.push_back(told_in(channel_, on(ends.far.get(), buffer_, 1)));
    must(aio_recv(&requests.back(), 0), "aio_recv");
  }
  aio_cb one_more = told_in(channel_, any_on(ends.near.get()));
  expect_errors(all_six(&one_more, EAGAIN));
  for (aio_cb& one : requests) must(aio_cb_cancel(&one), "aio_cb_cancel");
  for (aio_cb& one : requests) EXPECT_EQ(outcome(one), -ECANCELED);
}

TEST_F(ErrorsOfRequests, AreTheKernelsWhenAChannelHasItsFirst) {
  const Ends ends = kernel_sockets();
  const Channel fresh;
  aio_cb first = told_in(fresh, any_on(ends.near.get()));
  const auto without = [&](long call, uint32_t refusal, const std::vector<BadCall>& calls) {
    std::thread([&] {
      forbid_call(call, refusal);
      expect_errors(calls);
    }).join();
  };
  without(SYS_io_uring_setup, EPERM, all_six(&first, ENOSYS));
  without(SYS_io_uring_setup, EMFILE, all_six(&first, EMFILE));
  without(SYS_io_uring_setup, ENFILE, all_six(&first, ENFILE));
  without(SYS_io_uring_setup, ENOMEM, all_six(&first, ENOMEM));
  without(SYS_epoll_ctl, ENOSPC, all_six(&first, ENOSPC));
  must(aio_send(&first, 0), "aio_send");
  EXPECT_EQ(outcome(first), 1);
}

TEST_F(ErrorsOfRequests, OfMemoryThatIsNotTheProgramsAndOfSuspending) {
  const Area area(1 << 16);
  const Ends ends = kernel_sockets();
  aio_cb not_ours = on(ends.far.get(), accounts(area.get()).base, 1);
  aio_cb receive = on(ends.far.get(), buffer_, 1);
  expect_errors({
      {"send", [&] { return aio_send(&not_ours, 0); }, EFAULT},
      {"receive", [&] { return aio_recv(&not_ours, 0); }, EFAULT},
  });
  must(aio_recv(&receive, 0), "aio_recv");
  const aio_cb* const list[] = {&receive};
  const auto suspend_it = [&] { return aio_cb_suspend(list, 1, nullptr); };
  expect_refusal(SYS_eventfd2, ENFILE, suspend_it);
  expect_refusal(SYS_eventfd2, ENOMEM, suspend_it);
  must(aio_cb_cancel(&receive), "aio_cb_cancel");
  EXPECT_EQ(outcome(receive), -ECANCELED);
}

TEST_F(ErrorsOfRequests, OnSockets) {
  const Socket fresh = Socket::make();
  Pair pair = make_pair();
  const Area area(1 << 16);
  pair.near.set_linger(0);
  aio_cb unconnected = any_on(fresh.get());
  expect_errors(all_six(&unconnected, ENOTCONN));
  aio_cb endless = on(pair.near.get(), buffer_, size_t{1} << 40);
  iovec strange{accounts(area.get()).base, 10'000};
  msghdr elsewhere{};
  elsewhere.msg_iov = &strange;
  elsewhere.msg_iovlen = 1;
  std::vector<char> large(8192);
  aio_cb too_large = with(elsewhere, on(pair.near.get(), large.data(), large.size()));
  strange = {large.data(), large.size()};
  expect_errors({
      {"endless", [&] { return aio_write_ec(&endless); }, EMSGSIZE},
      {"large, in no area", [&] { return aio_write_ec(&too_large); }, EFAULT},
      {"large, in no area", [&] { return aio_sendmsg(&too_large, 0); }, EFAULT},
  });
  must(sio_shutdown(pair.near.get(), SHUT_WR), "sio_shutdown");
  aio_cb shut = any_on(pair.near.get());
  expect_errors({
      {"send", [&] { return aio_send(&shut, 0); }, EPIPE},
      {"sendmsg", [&] { return aio_sendmsg(&shut, 0); }, EPIPE},
      {"write", [&] { return aio_write_ec(&shut); }, EPIPE},
  });
}

// Wherever the socket finds that there are no more descriptors.
TEST_F(ErrorsOfRequests, LeaveNoneBehindThatWasNotTaken) {
  const Address to(Address::self().text(), 7);
  char byte = 0;
  iovec piece{&byte, 1};
  msghdr message{};
  message.msg_name = const_cast<sockaddr*>(to.get());
  message.msg_namelen = to.size();
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  int result = -1;
  for (size_t left = 0; result != 0 && left < 30; ++left) {
    const Socket fresh = Socket::make(0, AF_UNSPEC, SOCK_DGRAM);
    std::vector<Fd> spare(left);
    for (Fd& one : spare) one = Fd(eventfd(0, EFD_CLOEXEC));
    const NoDescriptorsLeft none;
    spare.clear();
    aio_cb block = with(message, on(fresh.get(), nullptr, 0));
    for (int n = 0; n < 1100; ++n) {  // more than there may be under way at once
      if ((result = aio_sendmsg(&block, 0)) == 0) break;
      ASSERT_NE(errno, EAGAIN) << left << " descriptors left, " << n;
    }
    if (result == 0) outcome(block);
  }
}

// Each on a connection of its own, as it is told once.
TEST_F(ErrorsOfRequests, OnSocketsWhosePeerGaveUp) {
  const auto on_reset = [&](const std::function<int(aio_cb*)>& send, int error) {
    Pair pair = make_pair();
    pair.far.set_linger(0);
    pair.far.close();
    EXPECT_TRUE(eventually([&] { return (pair.near.ready() & EPOLLHUP) != 0; }));
    aio_cb block = any_on(pair.near.get());
    expect_errors({{"a send", [&] { return send(&block); }, error}});
  };
  on_reset([](aio_cb* block) { return aio_send(block, 0); }, ECONNRESET);
  on_reset([](aio_cb* block) { return aio_sendmsg(block, 0); }, ECONNRESET);
  on_reset([](aio_cb* block) { return aio_write_ec(block); }, ECONNRESET);
}

TEST_F(ErrorsOfRequests, OnSocketsWhosePeerBreaksTheProtocol) {
  const auto on_broken = [&](const std::function<int(aio_cb*)>& send, int error) {
    Peer peer("raw-serve send=kind-0");
    Socket socket = Socket::make();
    socket.connect(peer.address());
    void* data = nullptr;
    EXPECT_EQ(sio_recv(socket.get(), &data, SIZE_MAX, 0), -1);
    aio_cb block = any_on(socket.get());
    expect_errors({{"a send", [&] { return send(&block); }, error}});
  };
  on_broken([](aio_cb* block) { return aio_send(block, 0); }, EPROTO);
  on_broken([](aio_cb* block) { return aio_sendmsg(block, 0); }, EPROTO);
  on_broken([](aio_cb* block) { return aio_write_ec(block); }, EPROTO);
}

}  // namespace
}  // namespace sio::test
