// SPDX-License-Identifier: BSD-2-Clause
//
// In a forked child every call fails with EPERM, and the parent's connections go on.
#include <sio/aio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

// Runs `body` in a forked child: its exit status.
int in_child(const std::function<int()>& body) {
  const pid_t child = must(fork(), "fork");
  if (child == 0) _exit(body());
  int status = 0;
  must(waitpid(child, &status, 0), "waitpid");
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

class WireFork : public WireTest {
 protected:
  // Every call of the interface.
  std::vector<BadCall> all_calls() {
    const int fd = socket_.get();
    const ec_t ec = channel_.get();
    const auto* address = to_.get();
    auto* name = reinterpret_cast<sockaddr*>(&storage_);
    return {
        {"dma_alloc", [=, this] { return dma_alloc(&handle_, 4096, 0); }, EPERM},
        {"dma_import", [=, this] { return dma_import(&handle_, ring_, 64, 0); }, EPERM},
        {"dma_free", [=, this] { return dma_free(area_.get(), area_.bytes()); }, EPERM},
        {"dma_assoc", [=, this] { return dma_assoc(fd, area_.get(), 4096, 0); }, EPERM},
        {"dma_disassoc", [=, this] { return dma_disassoc(fd, area_.get(), 4096); }, EPERM},
        {"dma_stat", [=, this] { return ::dma_stat(area_.get(), &stat_); }, EPERM},
        {"sio_reserve", [=, this] { return sio_reserve(area_.get(), &data_, 64); }, EPERM},
        {"sio_release", [=, this] { return sio_release(nullptr, block_.data(), 64); }, EPERM},
        {"ec_create", [] { return ec_create(0); }, EPERM},
        {"ec_create_ring", [this] { return ec_create_ring(0, ring_, 2); }, EPERM},
        {"ec_destroy", [=] { return ec_destroy(ec); }, EPERM},
        {"ec_next_event", [=, this] { return ec_next_event(ec, ring_); }, EPERM},
        {"ec_next_events", [=, this] { return ec_next_events(ec, ring_, 2); }, EPERM},
        {"ec_to_fd", [=] { return ec_to_fd(ec); }, EPERM},
        {"ec_delay", [=, this] { return ec_delay(ec, &zero_); }, EPERM},
        {"ec_add_fd", [=] { return ec_add_fd(ec, 0, EPOLLIN, nullptr); }, EPERM},
        {"ec_mod_fd", [=] { return ec_mod_fd(ec, 0, EPOLLIN, nullptr); }, EPERM},
        {"ec_del_fd", [=] { return ec_del_fd(ec, 0); }, EPERM},
        {"ec_add_mq", [=] { return ec_add_mq(ec, 0, EPOLLIN, nullptr); }, EPERM},
        {"ec_add_signal", [=, this] { return ec_add_signal(ec, &signals_, nullptr); }, EPERM},
        {"ec_add_timer",
         [=, this] { return ec_add_timer(ec, CLOCK_MONOTONIC, &times_, 0, nullptr); }, EPERM},
        {"ec_add_sem", [=, this] { return ec_add_sem(ec, &semaphore_, nullptr); }, EPERM},
        {"ec_add_futex", [=, this] { return ec_add_futex(ec, &word_, 0, 0, nullptr); }, EPERM},
        {"ec_add_process", [=] { return ec_add_process(ec, getppid(), nullptr); }, EPERM},
        {"ec_del", [=] { return ec_del(ec, 1); }, EPERM},
        {"ec_post", [=] { return ec_post(ec, 0, nullptr); }, EPERM},
        {"sio_socket", [] { return sio_socket(AF_INET, SOCK_SEQPACKET, 0); }, EPERM},
        {"sio_bind", [=, this] { return sio_bind(fd, address, to_.size()); }, EPERM},
        {"sio_listen", [=] { return sio_listen(fd, 1); }, EPERM},
        {"sio_accept", [=] { return sio_accept(fd, nullptr, nullptr); }, EPERM},
        {"sio_accept4", [=] { return sio_accept4(fd, nullptr, nullptr, 0); }, EPERM},
        {"sio_accept_ec", [=] { return sio_accept_ec(fd, nullptr, nullptr, 0, ec, nullptr); },
         EPERM},
        {"sio_connect", [=, this] { return sio_connect(fd, address, to_.size()); }, EPERM},
        {"sio_shutdown", [=] { return sio_shutdown(fd, SHUT_WR); }, EPERM},
        {"sio_close", [=] { return sio_close(fd); }, EPERM},
        {"sio_getsockname", [=, this] { return sio_getsockname(fd, name, &size_); }, EPERM},
        {"sio_getpeername", [=, this] { return sio_getpeername(fd, name, &size_); }, EPERM},
        {"sio_getsockopt",
         [=, this] { return sio_getsockopt(fd, SOL_SIO, SIO_NODELAY, &value_, &size_); }, EPERM},
        {"sio_setsockopt",
         [=, this] { return sio_setsockopt(fd, SOL_SIO, SIO_NODELAY, &value_, 4); }, EPERM},
        {"sio_nonblock", [=] { return sio_nonblock(fd, 1); }, EPERM},
        {"sio_send", [=] { return sio_send(fd, "x", 1, 0); }, EPERM},
        {"sio_sendto", [=] { return sio_sendto(fd, "x", 1, 0, nullptr, 0); }, EPERM},
        {"sio_sendmsg", [=, this] { return sio_sendmsg(fd, &message_, sizeof message_, 0); },
         EPERM},
        {"sio_recvfrom", [=, this] { return sio_recvfrom(fd, &const_data_, 1, 0, nullptr, 0); },
         EPERM},
        {"sio_recvmsg", [=, this] { return sio_recvmsg(fd, &const_data_, sizeof message_, 0); },
         EPERM},
        {"sio_recv", [=, this] { return sio_recv(fd, &data_, 1, 0); }, EPERM},
        {"aio_send", [this] { return aio_send(&request_, 0); }, EPERM},
        {"aio_recv", [this] { return aio_recv(&request_, 0); }, EPERM},
        {"aio_sendmsg", [this] { return aio_sendmsg(&request_, 0); }, EPERM},
        {"aio_recvmsg", [this] { return aio_recvmsg(&request_, 0); }, EPERM},
        {"aio_read_ec", [this] { return aio_read_ec(&request_); }, EPERM},
        {"aio_write_ec", [this] { return aio_write_ec(&request_); }, EPERM},
        {"aio_cb_error", [this] { return aio_cb_error(&request_); }, EPERM},
        {"aio_cb_return", [this] { return static_cast<int>(aio_cb_return(&request_)); }, EPERM},
        {"aio_cb_cancel", [this] { return aio_cb_cancel(&request_); }, EPERM},
        {"aio_cb_suspend",
         [this] {
           const aio_cb* const list[] = {&request_};
           return aio_cb_suspend(list, 1, &zero_);
         },
         EPERM},
        {"sio_flush", [=, this] { return sio_flush(fd, &zero_); }, EPERM},
    };
  }

  void echo(const char* text) {
    socket_.send(text);
    EXPECT_EQ(Message(channel_.skip_to(EC_RECV)).view(), text);
  }

  Peer connect() {
    Peer peer("echo");
    to_ = peer.address();
    block_ = Message::reserve(area_, 64);
    socket_ = Socket::make();
    socket_.join(channel_).associate(area_, DMA_SEND).connect(to_);
    return peer;
  }

  Area area_{size_t{1} << 20};
  Message block_;
  Channel channel_;
  Socket socket_;
  Address to_;
  dma_mem_t handle_ = nullptr;
  Accounts stat_{};
  void* data_ = nullptr;
  event_data_t ring_[2]{};
  msghdr message_{};
  aio_cb request_{};
  const void* const_data_ = &message_;
  timespec zero_{};
  sigset_t signals_{};
  itimerspec times_{{}, {1, 0}};
  sem_t semaphore_{};
  uint32_t word_ = 0;
  sockaddr_storage storage_{};
  socklen_t size_ = sizeof storage_;
  int value_ = 0;
};

TEST_F(WireFork, AllCallsOfAChildFailAndTheParentsConnectionGoesOn) {
  Peer peer = connect();
  echo("before");
  const auto calls = all_calls();
  const int bad = in_child([&] {
    int wrong = 0;
    for (const BadCall& call : calls) {
      errno = 0;
      if (call.call() == -1 && errno == EPERM) continue;
      std::fprintf(stderr, "in a child %s: %s\n", call.what, std::strerror(errno));
      ++wrong;
    }
    return wrong;
  });
  EXPECT_EQ(bad, 0);
  for (int i = 0; i < 100; ++i) echo("after");
  EXPECT_EQ(sio_flush(socket_.get(), nullptr), 0);
  socket_.close();
  peer.finish();
}

// The pages that the device knows stay the parent's, although the child shares the others.
TEST_F(WireFork, AChildThatLivesOnDoesNotDisturbTheParentsTraffic) {
  const uint64_t count = scaled(1000);
  Peer peer("exchange seed=41 count=" + std::to_string(count));
  Socket socket = Socket::make();
  socket.join(channel_).associate(area_, DMA_SEND).connect(peer.address());
  int ends[2];
  must(pipe(ends), "pipe");
  const pid_t child = must(fork(), "fork");
  if (child == 0) {
    char byte;
    ::close(ends[1]);
    _exit(::read(ends[0], &byte, 1) == 0 ? 0 : 1);  // until the parent closes its end
  }
  ::close(ends[0]);
  Outflow out(socket, Pattern(42), count, Lend::kMixed, &area_);
  Inflow in(Pattern(41), count);
  exchange(channel_, out, in);
  ::close(ends[1]);
  int status = 0;
  must(waitpid(child, &status, 0), "waitpid");
  EXPECT_EQ(status, 0);
  socket.close();
  peer.finish();
}

TEST_F(WireFork, AChildsExitLeavesTheParentsConnectionAlone) {
  Peer peer = connect();
  const pid_t child = must(fork(), "fork");
  if (child == 0) {
    execlp("true", "true", nullptr);
    _exit(127);
  }
  int status = 0;
  must(waitpid(child, &status, 0), "waitpid");
  for (int i = 0; i < 50; ++i) echo("still here");
  socket_.close();
  peer.finish();
}

}  // namespace
}  // namespace sio::test
