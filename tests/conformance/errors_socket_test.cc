// SPDX-License-Identifier: BSD-2-Clause
//
// Errors of calls on sockets and areas that no other test provokes: what the kernel refuses them,
// what calls of one kind have in common, and how each tells of a connection that failed.
// (docs/errors.md says which test provokes which error.)
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <thread>

#include "conformance/denials.h"
#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/sanitizers.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

class ErrorsOfSockets : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    // What the library has one of is there before a thread is refused something.
    if (!IsSkipped())
      listener_ = std::move(Socket::make(SOCK_NONBLOCK).bind(Address::self()).listen());
  }

  // One that waits to be accepted.
  Socket dial() {
    Socket socket = Socket::make(SOCK_NONBLOCK);
    EXPECT_EQ(socket.try_connect(listener_.name()), EINPROGRESS);
    EXPECT_TRUE(eventually([&] { return (listener_.ready() & EPOLLIN) != 0; }));
    return socket;
  }

  Socket listener_;
  sockaddr_storage name_{};
  iovec piece_{};
  msghdr message_{};
};

TEST_F(ErrorsOfSockets, AreTheKernelsWhenOneIsMade) {
  const auto make = [] { return sio_socket(AF_INET, SOCK_SEQPACKET, 0); };
  expect_refusal(SYS_epoll_create1, ENFILE, make);
  expect_refusal(SYS_eventfd2, ENOMEM, make);
  expect_refusal(SYS_epoll_ctl, ENOSPC, make);
}

TEST_F(ErrorsOfSockets, AreTheKernelsWhenAPortIsTaken) {
  if (!on_soft()) GTEST_SKIP() << "the RDMA connection manager takes no descriptor for a port";
  const Address self = Address::self();
  const Socket socket = Socket::make();
  const auto bind = [&] { return sio_bind(socket.get(), self.get(), self.size()); };
  const auto listen = [&] { return sio_listen(socket.get(), 1); };
  const Address to = listener_.name();
  const auto connect = [&] { return sio_connect(socket.get(), to.get(), to.size()); };
  expect_refusal(SYS_socket, EMFILE, bind);
  expect_refusal(SYS_socket, ENFILE, bind);
  expect_refusal(SYS_socket, ENOMEM, bind);
  expect_refusal(SYS_socket, EMFILE, listen);
  expect_refusal(SYS_socket, ENFILE, listen);
  expect_refusal(SYS_socket, ENOMEM, listen);
  expect_refusal(SYS_socket, EMFILE, connect);
  expect_refusal(SYS_socket, ENFILE, connect);
  EXPECT_EQ(listen(), 0);
}

TEST_F(ErrorsOfSockets, IsEaccesOfAPortWithoutTheRightToIt) {
  int first = 1024;
  std::ifstream("/proc/sys/net/ipv4/ip_unprivileged_port_start") >> first;
  if (first <= 1000) GTEST_SKIP() << "here anybody may take any port";
  const Address low = Address::self(1000);
  const Socket socket = Socket::make();
  std::thread([&] {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[2] = {};
    must(static_cast<int>(syscall(SYS_capset, &header, none)), "capset");
    expect_errors({{"low", [&] { return sio_bind(socket.get(), low.get(), low.size()); }, EACCES}});
  }).join();
}

TEST_F(ErrorsOfSockets, OfMemoryThatIsTooSmallForTheOptions) {
  const Area area(size_t{12} * kSlot);
  const Address to = listener_.name();
  Socket socket = Socket::make();
  socket.associate(area, DMA_RECV, 6 * kSlot).set(SIO_SLOT_SIZE, 65536);
  expect_errors({
      {"listen", [&] { return sio_listen(socket.get(), 1); }, EINVAL},
      {"connect", [&] { return sio_connect(socket.get(), to.get(), to.size()); }, EINVAL},
  });
}

// A connect that failed has given the memory back, and the program has taken it.
TEST_F(ErrorsOfSockets, OfMemoryThatIsTakenMeanwhile) {
  const Area area(6 * kSlot);
  Socket gone = Socket::make();
  const Address nobody = gone.bind(Address::self()).listen().name();
  gone.close();
  const Address to = listener_.name();
  Socket socket = Socket::make();
  socket.associate(area, DMA_RECV);
  EXPECT_EQ(socket.try_connect(nobody), ECONNREFUSED);
  const Message block = Message::reserve(area, 64);
  expect_errors(
      {{"connect", [&] { return sio_connect(socket.get(), to.get(), to.size()); }, ENOBUFS}});
}

TEST_F(ErrorsOfSockets, OfAccepting) {
  const int fd = listener_.get();
  const Channel channel;
  const auto accept = [&] { return sio_accept(fd, nullptr, nullptr); };
  const auto accept4 = [&] { return sio_accept4(fd, nullptr, nullptr, 0); };
  const auto accept_ec = [&] {
    return sio_accept_ec(fd, nullptr, nullptr, 0, channel.get(), nullptr);
  };
  expect_errors({{"none", accept4, EAGAIN}, {"none", accept_ec, EAGAIN}});
  const Socket waiting = dial();
  expect_refusal(SYS_epoll_create1, ENFILE, accept);
  expect_refusal(SYS_epoll_create1, ENOMEM, accept);
  expect_refusal(SYS_epoll_ctl, ENOSPC, accept);
  expect_refusal(SYS_epoll_create1, EMFILE, accept4);
  expect_refusal(SYS_epoll_create1, ENFILE, accept4);
  expect_refusal(SYS_epoll_create1, ENOMEM, accept4);
  expect_refusal(SYS_epoll_ctl, ENOSPC, accept4);
  expect_refusal(SYS_epoll_create1, EMFILE, accept_ec);
  expect_refusal(SYS_epoll_create1, ENFILE, accept_ec);
  expect_refusal(SYS_epoll_create1, ENOMEM, accept_ec);
  expect_refusal(SYS_epoll_ctl, ENOSPC, accept_ec);
  const Socket accepted(must(accept4(), "sio_accept4"));
  must(sio_nonblock(fd, 0), "sio_nonblock");
  const Interrupter interrupter;
  expect_errors({{"a signal", accept4, EINTR}, {"a signal", accept_ec, EINTR}});
}

TEST_F(ErrorsOfSockets, OfAcceptingWithoutMemory) {
  const Area area(6 * kSlot);
  const Channel channel;
  listener_ = Socket::make(SOCK_NONBLOCK);
  listener_.associate(area, DMA_RECV).bind(Address::self()).listen();
  const int fd = listener_.get();
  const Message block = Message::reserve(area, 64);
  const Socket waiting = dial();
  expect_errors({
      {"accept4", [&] { return sio_accept4(fd, nullptr, nullptr, 0); }, ENOBUFS},
      {"accept_ec", [&] { return sio_accept_ec(fd, nullptr, nullptr, 0, channel.get(), nullptr); },
       ENOBUFS},
  });
  listener_ = Socket();  // before its area
}

// ----------------------------------------------------------------------------- calls of one kind

TEST_F(ErrorsOfSockets, OfSendingToAnAddressOrFromSeveralPlaces) {
  const Socket fresh = Socket::make();
  Pair pair = make_pair();
  const int fd = pair.near.get();
  std::vector<char> large(kSlot);
  char text[500]{};
  const auto to = [](int sock, const void* data, size_t size, int flags = 0) {
    return sio_sendto(sock, data, size, flags, nullptr, 0);
  };
  piece_ = {text, sizeof text};
  message_.msg_iov = &piece_;
  message_.msg_iovlen = 1;
  const auto msg = [&](int sock, int flags = 0) {
    return sio_sendmsg(sock, &message_, sizeof message_, flags);
  };
  expect_errors({
      {"sendto, fresh", [&] { return to(fresh.get(), "x", 1); }, ENOTCONN},
      {"sendto, a flag", [&] { return to(fd, "x", 1, MSG_OOB); }, EINVAL},
      {"sendto, elsewhere", [&] { return to(fd, large.data(), large.size()); }, EFAULT},
      {"sendto, endless", [&] { return to(fd, text, SIZE_MAX); }, EMSGSIZE},
      {"sendmsg, fresh", [&] { return msg(fresh.get()); }, ENOTCONN},
  });
  ASSERT_TRUE(eventually([&] {  // until the peer's slots are full, and nothing comes back any more
    while (to(fd, text, sizeof text, MSG_DONTWAIT) == 0) {
    }
    timespec soon = to_timespec(milliseconds(20));
    sio_flush(fd, &soon);
    const sio_info info = pair.near.info();
    return info.credits == 0 && info.sends_in_flight == 0;
  }));
  while (to(fd, text, sizeof text, MSG_DONTWAIT) == 0) {
  }
  expect_errors({
      {"sendto, no room", [&] { return to(fd, text, sizeof text, MSG_DONTWAIT); }, EAGAIN},
      {"sendmsg, no room", [&] { return msg(fd, MSG_DONTWAIT); }, EAGAIN},
  });
  {
    const Interrupter interrupter;
    expect_errors({{"sendto, a signal", [&] { return to(fd, text, sizeof text); }, EINTR},
                   {"sendmsg, a signal", [&] { return msg(fd); }, EINTR}});
  }
  must(sio_shutdown(fd, SHUT_WR), "sio_shutdown");
  expect_errors({{"sendto, shut down", [&] { return to(fd, "x", 1); }, EPIPE},
                 {"sendmsg, shut down", [&] { return msg(fd); }, EPIPE}});
  pair.near.set_linger(0);
}

class ErrorsOfReceiving : public ErrorsOfSockets {
 protected:
  int from(int sock, int flags = 0) {
    return sio_recvfrom(sock, &data_, SIZE_MAX, flags, nullptr, 0);
  }
  int msg(int sock, int flags = 0) {
    message_.msg_iov = &piece_;
    message_.msg_iovlen = 1;
    data_ = &message_;
    return sio_recvmsg(sock, &data_, sizeof message_, flags);
  }

  const void* data_ = nullptr;
};

TEST_F(ErrorsOfReceiving, WithAnAddressOrInPieces) {
  const Socket fresh = Socket::make();
  const Pair pair = make_pair();
  const int fd = pair.near.get();
  expect_errors({
      {"recvfrom, none", [&] { return from(-1); }, EBADF},
      {"recvfrom, fresh", [&] { return from(fresh.get()); }, ENOTCONN},
      {"recvfrom, nothing", [&] { return from(fd, MSG_DONTWAIT); }, EAGAIN},
      {"recvmsg, none", [&] { return msg(-1); }, EBADF},
      {"recvmsg, fresh", [&] { return msg(fresh.get()); }, ENOTCONN},
      {"recvmsg, nothing", [&] { return msg(fd, MSG_DONTWAIT); }, EAGAIN},
  });
  const Interrupter interrupter;
  expect_errors({{"recvfrom, a signal", [&] { return from(fd); }, EINTR},
                 {"recvmsg, a signal", [&] { return msg(fd); }, EINTR}});
}

// --------------------------------------------------------------------- connections that failed

class ErrorsOfConnections : public ErrorsOfReceiving {
 protected:
  // To whoever sends it is told once: each of these on a connection of its own.
  void expect_each(const std::function<Socket()>& failed, int error) {
    void* received = nullptr;
    msghdr empty{};
    const Socket one = failed();
    const Socket other = failed();
    const Socket third = failed();
    const int fd = one.get();
    expect_errors({
        {"recv", [&] { return sio_recv(fd, &received, SIZE_MAX, 0); }, error},
        {"recvfrom", [&] { return from(fd); }, error},
        {"recvmsg", [&] { return msg(fd); }, error},
        {"flush", [&] { return sio_flush(fd, nullptr); }, error},
        {"send", [&] { return sio_send(fd, "x", 1, 0); }, error},
        {"sendto", [&] { return sio_sendto(other.get(), "x", 1, 0, nullptr, 0); }, error},
        {"sendmsg", [&] { return sio_sendmsg(third.get(), &empty, sizeof empty, 0); }, error},
    });
  }

  // Once this has returned it has.
  static bool has_failed(const Socket& socket) {
    void* received = nullptr;
    return sio_recv(socket.get(), &received, SIZE_MAX, 0) == -1;
  }
};

TEST_F(ErrorsOfConnections, ThatThePeerGaveUpAreEconnreset) {
  const auto reset = [] {
    Pair pair = make_pair();
    pair.far.set_linger(0);
    pair.far.close();
    EXPECT_TRUE(has_failed(pair.near));
    return std::move(pair.near);
  };
  expect_each(reset, ECONNRESET);
}

TEST_F(ErrorsOfConnections, WhoseProtocolThePeerBreaksAreEproto) {
  std::vector<Peer> peers;
  const auto broken = [&] {
    peers.emplace_back("raw-serve send=kind-0");
    Socket socket = Socket::make();
    socket.connect(peers.back().address());
    EXPECT_TRUE(has_failed(socket));
    return socket;
  };
  expect_each(broken, EPROTO);
}

// ---------------------------------------------------------------------------------------- memory

using ErrorsOfImport = DeviceTest;

TEST_F(ErrorsOfImport, OfTooManyAreasAndTooLargeOnes) {
  void* const at = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(at, MAP_FAILED);
  dma_mem_t handle;
  expect_errors({{"large", [&] { return dma_import(&handle, at, size_t{1} << 45, 0); }, ENOMEM}});
  std::vector<dma_mem_t> handles;
  while (dma_alloc(&handle, 4096, 0) == 0) handles.push_back(handle);
  expect_errors({{"one more", [&] { return dma_import(&handle, at, 4096, 0); }, EMFILE}});
  for (const dma_mem_t one : handles) EXPECT_EQ(dma_free(one, 4096), 0);
  munmap(at, 4096);
}

// ----------------------------------------------- what can be seen in a process of its own alone

using ErrorsOfFirstCalls = DeviceTest;

TEST_F(ErrorsOfFirstCalls, AreTheKernelsWhenItHasNoMoreDescriptors) {
  if (!on_soft()) GTEST_SKIP() << "RDMA devices that can not be opened count as none";
  for (const auto& [call, error] :
       {std::pair{"dma_alloc", ENFILE}, std::pair{"dma_import", ENFILE}}) {
    Peer peer(std::string("first-call call=") + call);
    EXPECT_EQ(peer.expect_number(call), static_cast<uint64_t>(error));
  }
}

TEST_F(ErrorsOfFirstCalls, IsEnomemWhenThereIsNoneForTheTablesOfSlots) {
  if (kAddressSanitizer || kThreadSanitizer) {
    GTEST_SKIP() << "the sanitizers end a process that is out of memory";
  }
  Peer peer("no-memory");
  EXPECT_EQ(peer.expect_number("dma_assoc"), static_cast<uint64_t>(ENOMEM));
  EXPECT_EQ(peer.expect_number("dma_assoc"), 0u);
}

}  // namespace
}  // namespace sio::test
