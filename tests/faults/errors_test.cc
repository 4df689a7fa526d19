// SPDX-License-Identifier: BSD-2-Clause
//
// What no test can make a device do, done by the provider (faulty_provider.h): which error each
// call tells of it, and that nothing is left. (docs/errors.md says which test provokes which
// error.)
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "conformance/fixtures.h"
#include "conformance/requests.h"
#include "faults/faulty_provider.h"

namespace sio::test {
namespace {

// Something befalls a connection that stands.
using Blow = std::function<void(const Pair& pair)>;

timespec no_time{};

// Of the first SEND that is acknowledged.
Blow fails_with(ibv_wc_status status) {
  return [status](const Pair& pair) {
    plan().next_send.set(status);
    must(sio_send(pair.near.get(), "x", 1, 0), "sio_send");
    sio_flush(pair.near.get(), &no_time);  // has it signalled
  };
}

const Blow device_is_at_fault = fails_with(IBV_WC_LOC_QP_OP_ERR);
const Blow device_is_gone = [](const Pair&) { plan().tell(FaultPlan::Kind::kDeviceGone, ENODEV); };

class FaultTest : public testing::Test {
 protected:
  // A message of 1 byte, and one of none.
  FaultTest() {
    message_.msg_iov = &piece_;
    message_.msg_iovlen = 1;
  }
  void TearDown() override {
    plan().lose_sends(false);
    EXPECT_TRUE(eventually([] { return plan().left().empty(); })) << plan().left() << "are left";
  }

  // The near end of a connection that has failed.
  static Socket failed(const Blow& blow) {
    Pair pair = make_pair();
    pair.far.set_linger(0);
    blow(pair);
    void* data = nullptr;
    EXPECT_EQ(sio_recv(pair.near.get(), &data, SIZE_MAX, 0), -1);
    return std::move(pair.near);
  }

  aio_cb any_on(const Socket& socket) { return with(message_, on(socket.get(), buffer_, 1)); }

  char buffer_[64]{};
  iovec piece_{buffer_, 1};
  msghdr message_{};
};

using ErrorsOfFaults = FaultTest;

// ------------------------------------------------------------------------- of connections

// Who sends is told once: each of these on a connection of its own.
class ErrorsOfFailedConnections : public FaultTest {
 protected:
  void expect_each(const Blow& blow, int error) {
    const Socket one = failed(blow);
    const Socket other = failed(blow);
    const Socket third = failed(blow);
    const int fd = one.get();
    void* data = nullptr;
    const void* place = nullptr;
    const auto recvmsg = [&] {
      place = &message_;
      return sio_recvmsg(fd, &place, sizeof message_, 0);
    };
    const auto sendto = [](int sock) { return sio_sendto(sock, "x", 1, 0, nullptr, 0); };
    const auto sendmsg = [&](int sock) { return sio_sendmsg(sock, &message_, sizeof message_, 0); };
    expect_errors({
        {"recv", [&] { return sio_recv(fd, &data, SIZE_MAX, 0); }, error},
        {"recvfrom", [&] { return sio_recvfrom(fd, &place, SIZE_MAX, 0, nullptr, 0); }, error},
        {"recvmsg", recvmsg, error},
        {"flush", [&] { return sio_flush(fd, nullptr); }, error},
        {"send", [&] { return sio_send(fd, "x", 1, 0); }, error},
        {"sendto", [&] { return sendto(other.get()); }, error},
        {"sendmsg", [&] { return sendmsg(third.get()); }, error},
        {"send, once more", [&] { return sio_send(fd, "x", 1, 0); }, EPIPE},
        {"sendto, once more", [&] { return sendto(other.get()); }, EPIPE},
        {"sendmsg, once more", [&] { return sendmsg(third.get()); }, EPIPE},
    });
  }

  void expect_each_request(const Blow& blow, int error) {
    const auto expect = [&](int (*send)(aio_cb * block)) {
      const Socket socket = failed(blow);
      aio_cb block = any_on(socket);
      expect_errors({{"a send", [&] { return send(&block); }, error},
                     {"once more", [&] { return send(&block); }, EPIPE}});
    };
    expect([](aio_cb* block) { return aio_send(block, 0); });
    expect([](aio_cb* block) { return aio_sendmsg(block, 0); });
    expect([](aio_cb* block) { return aio_write_ec(block); });
  }
};

TEST_F(ErrorsOfFailedConnections, ByAFaultOfTheDeviceAreEio) {
  expect_each(device_is_at_fault, EIO);
  expect_each_request(device_is_at_fault, EIO);
}

TEST_F(ErrorsOfFailedConnections, WhoseDeviceIsTakenAwayAreEnodev) {
  expect_each(device_is_gone, ENODEV);
  expect_each_request(device_is_gone, ENODEV);
}

TEST_F(ErrorsOfFaults, AreWhatTheStatusOfTheFirstThatFailedMeans) {
  struct Row {
    bool receive;
    ibv_wc_status status;
    int error;
  };
  for (const auto& [receive, status, error] : std::vector<Row>{
           {false, IBV_WC_RETRY_EXC_ERR, ETIMEDOUT},
           {false, IBV_WC_REM_INV_REQ_ERR, EPROTO},
           {false, IBV_WC_REM_OP_ERR, ECONNRESET},
           {false, IBV_WC_LOC_QP_OP_ERR, EIO},
           {false, IBV_WC_LOC_PROT_ERR, EIO},
           {false, IBV_WC_FATAL_ERR, EIO},
           {true, IBV_WC_LOC_LEN_ERR, EPROTO},
           {true, IBV_WC_LOC_QP_OP_ERR, EPROTO},
           {true, IBV_WC_GENERAL_ERR, EIO},
       }) {
    SCOPED_TRACE(ibv_wc_status_str(status));
    const Blow of_a_receive = [status = status](const Pair& pair) {
      plan().next_receive.set(status);
      must(sio_send(pair.far.get(), "x", 1, 0), "sio_send");
    };
    const Socket socket = failed(receive ? of_a_receive : fails_with(status));
    const sio_info info = socket.info();
    EXPECT_EQ(info.error, error);
    EXPECT_EQ(info.wc_status, static_cast<uint32_t>(status));
    EXPECT_NE(info.wc_qp_num, 0u);
  }
}

// -------------------------------------------------------------------------- what was lent

// Whose near end lends blocks of the area.
Pair make_lender(const Area& area, const Channel* channel = nullptr) {
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Pair pair{Socket::make(SOCK_NONBLOCK), Socket()};
  if (channel != nullptr) pair.near.join(*channel);
  pair.near.associate(area, DMA_SEND);
  EXPECT_EQ(pair.near.try_connect(listener.name()), EINPROGRESS);
  pair.far = listener.accept();
  pair.far.set_linger(0);
  EXPECT_TRUE(eventually([&] { return (pair.near.ready() & EPOLLOUT) != 0; }));
  if (channel != nullptr) channel->expect(EC_CONNECT);
  return pair;
}

class OutcomesOfFaults : public FaultTest {
 protected:
  // Each block that is on its way comes back, in order, and then the end.
  static void expect_back(const Blow& blow, int error) {
    const Channel channel;
    const Area area(65'536);
    Pair pair = make_lender(area, &channel);
    std::vector<Message> blocks;
    plan().lose_sends(true);
    for (int i = 0; i < 5; ++i) {
      blocks.push_back(Message::reserve(area, 1000));
      EXPECT_EQ(pair.near.try_send(blocks.back().data(), 1000), 0);
      EXPECT_EQ(sio_release(nullptr, blocks.back().data(), 1000), -1) << "it is lent";
    }
    blow(pair);
    for (const Message& block : blocks) {
      const event_data_t event = channel.expect(EC_SENT);
      EXPECT_EQ(event.data.buf, block.data());
      EXPECT_EQ(event.error, error);
    }
    EXPECT_EQ(channel.expect(EC_HUP).error, error);
    EXPECT_EQ(pair.near.try_send("x", 1), error);
    EXPECT_EQ(pair.near.try_send("x", 1), EPIPE);
    EXPECT_FALSE(channel.try_next(milliseconds(0))) << "an event after EC_HUP";
  }
};

TEST_F(OutcomesOfFaults, OfADeviceThatIsTakenAwayComeOnce) { expect_back(device_is_gone, ENODEV); }

TEST_F(OutcomesOfFaults, OfARequestThatTheDeviceFailsComeOnce) {
  expect_back(
      [](const Pair& pair) {
        plan().next_receive.set(IBV_WC_GENERAL_ERR);
        must(sio_send(pair.far.get(), "x", 1, 0), "sio_send");
      },
      EIO);
}

TEST_F(OutcomesOfFaults, EndTheRequestsThatAreUnderWay) {
  const Area area(65'536);
  const Pair pair = make_lender(area);
  plan().lose_sends(true);
  const Message block = Message::reserve(area, 1000);
  aio_cb send = on(pair.near.get(), block.data(), block.size());
  aio_cb copied = any_on(pair.near);
  aio_cb receive = on(pair.near.get(), nullptr, 64);
  must(aio_send(&send, 0), "aio_send");
  must(aio_sendmsg(&copied, 0), "aio_sendmsg");
  must(aio_recv(&receive, 0), "aio_recv");
  device_is_gone(pair);
  EXPECT_EQ(outcome(send), -ENODEV);
  EXPECT_EQ(outcome(copied), -ENODEV);
  EXPECT_EQ(outcome(receive), -ENODEV);
}

// --------------------------------------------------------------------------- single calls

TEST_F(ErrorsOfFaults, OfADeviceThatIsListenedOnAreEnodev) {
  Socket blocked = Socket::make();
  blocked.bind(Address::self()).listen();
  int error = 0;
  std::thread waiting([&] { error = sio_accept(blocked.get(), nullptr, nullptr) < 0 ? errno : 0; });
  std::this_thread::sleep_for(milliseconds(50));
  plan().tell(FaultPlan::Kind::kDeviceGone, ENODEV);
  waiting.join();
  EXPECT_EQ(error, ENODEV);
  const Channel channel;
  Socket told = Socket::make(SOCK_NONBLOCK);
  told.join(channel).bind(Address::self()).listen();
  plan().tell(FaultPlan::Kind::kDeviceGone, ENODEV);
  EXPECT_EQ(channel.expect(EC_HUP).error, ENODEV);
  const auto accept = [&](Socket& listener) {
    return [&] { return sio_accept(listener.get(), nullptr, nullptr); };
  };
  const auto accept4 = [&] { return sio_accept4(told.get(), nullptr, nullptr, 0); };
  const auto accept_ec = [&] {
    return sio_accept_ec(told.get(), nullptr, nullptr, 0, channel.get(), nullptr);
  };
  expect_errors({{"accept", accept(told), ENODEV},
                 {"that waited", accept(blocked), ENODEV},
                 {"accept4", accept4, ENODEV},
                 {"accept_ec", accept_ec, ENODEV}});
}

TEST_F(ErrorsOfFaults, OfTheConnectionManagersAreThoseOfTheConnect) {
  Socket listener = Socket::make(SOCK_NONBLOCK);
  const Address to = listener.bind(Address::self()).listen().name();
  Socket socket = Socket::make();
  const auto connect = [&](int fault) {
    plan().next_connect.set(fault);
    return sio_connect(socket.get(), to.get(), to.size());
  };
  expect_errors({
      {"one has no more time", [&] { return connect(ECONNABORTED); }, ECONNABORTED},
      {"one gives it up", [&] { return connect(ECONNRESET); }, ECONNRESET},
  });
  // It is as new.
  must(sio_nonblock(socket.get(), 1), "sio_nonblock");
  EXPECT_EQ(socket.try_connect(to), EINPROGRESS);
  ASSERT_TRUE(eventually([&] { return (listener.ready() & EPOLLIN) != 0; }));
  Socket far = listener.accept();
  EXPECT_TRUE(eventually([&] { return (socket.ready() & EPOLLOUT) != 0; }));
  socket.send("it stands");
  EXPECT_EQ(far.receive().view(), "it stands");
}

TEST_F(ErrorsOfFaults, OfAConnectThatFailsAtOnceLeaveTheSocketAsNew) {
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Socket socket = Socket::make(SOCK_NONBLOCK);
  socket.bind(Address::self());
  plan().next_address.set(ENETUNREACH);
  EXPECT_EQ(socket.try_connect(listener.name()), ENETUNREACH);
  EXPECT_EQ(socket.name().port(), 0);
  socket.bind(Address::self());
  EXPECT_EQ(socket.try_connect(listener.name()), EINPROGRESS);
}

// A device may refuse a request for any reason.
TEST_F(ErrorsOfFaults, OfPostsAreEio) {
  Pair pair = make_pair();
  pair.far.set_linger(0);
  plan().next_post.set(ENOMEM);
  EXPECT_EQ(pair.near.try_send("x", 1), 0) << "it was queued";
  EXPECT_EQ(pair.near.try_receive().status.error(), EIO);
  EXPECT_EQ(pair.near.try_send("x", 1), EIO);
  EXPECT_EQ(pair.near.try_send("x", 1), EPIPE);
  EXPECT_EQ(pair.near.info().error, EIO);
}

TEST_F(ErrorsOfFaults, OfAQueuePairForLargeMessagesAreTheDevices) {
  constexpr size_t kLarge = 100'000;
  const Area area(size_t{4} << 20);
  Socket listener = Socket::make();
  listener.associate(area, DMA_RECV, size_t{1} << 20).bind(Address::self()).listen();
  Socket near = Socket::make(SOCK_NONBLOCK);
  near.associate(area, DMA_SEND);
  EXPECT_EQ(near.try_connect(listener.name()), EINPROGRESS);
  Socket far = listener.accept();
  ASSERT_TRUE(eventually([&] { return (near.ready() & EPOLLOUT) != 0; }));
  must(sio_nonblock(near.get(), 0), "sio_nonblock");
  const int fd = near.get();
  const Message block = Message::reserve(area, kLarge);
  piece_ = {block.data(), kLarge};
  const auto without = [](auto send) {
    plan().next_second_pair.set(ENOMEM);
    return send();
  };
  const auto send = [&] { return sio_send(fd, block.data(), kLarge, 0); };
  const auto sendto = [&] { return sio_sendto(fd, block.data(), kLarge, 0, nullptr, 0); };
  const auto sendmsg = [&] { return sio_sendmsg(fd, &message_, sizeof message_, 0); };
  expect_errors({
      {"sio_send", [&] { return without(send); }, ENOMEM},
      {"sio_sendto", [&] { return without(sendto); }, ENOMEM},
      {"sio_sendmsg", [&] { return without(sendmsg); }, ENOMEM},
  });
  // The block is still ours, and the connection as it was.
  must(send(), "sio_send");
  EXPECT_EQ(far.receive().size(), kLarge);
  near.flush();
}

// Eight connections have eight buffers for copies, one each, and there are no more. Who has used
// its own gets it back, although nothing has asked for a completion of what was sent with it.
TEST_F(ErrorsOfFaults, OfMemoryForCopiesAreAWaitForTheirOwn) {
  constexpr size_t kConnections = 8;
  constexpr size_t kCopied = 1000;
  const std::vector<char> bytes(kCopied, 'x');
  const Channel channel;
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  std::vector<Socket> near;
  std::vector<Socket> far;
  while (near.size() < kConnections) {
    near.push_back(Socket::make(SOCK_NONBLOCK));
    near.back().set(SIO_NODELAY, 1).join(channel);
    ASSERT_EQ(near.back().try_connect(listener.name()), EINPROGRESS);
    far.push_back(listener.accept());
    channel.expect(EC_CONNECT);
  }
  plan().begin(1, {.register_memory = 1});
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(near[0].try_send(bytes.data(), kCopied), i == 0 ? 0 : EAGAIN);
    if (i == 0) continue;
    const auto event = channel.try_next(milliseconds(5000));
    ASSERT_TRUE(event) << "nothing has brought the buffer back";
    ASSERT_EQ(event->kind, EC_WRITABLE);
    ASSERT_EQ(near[0].try_send(bytes.data(), kCopied), 0);
  }
  plan().end();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(far[0].receive().size(), kCopied);
}

// A race, were the message not sure to be lost.
TEST_F(ErrorsOfFaults, OfAPeerThatEndsInOrderAndHadNotTakenAllIsEpipe) {
  Pair pair = make_pair();
  const int fd = pair.near.get();
  plan().lose_sends(true);
  pair.near.send("on its way");
  expect_errors({{"flush", [&] { return sio_flush(fd, &no_time); }, EAGAIN}});
  pair.far.close();
  EXPECT_FALSE(pair.near.receive()) << "in order";
  expect_errors({{"flush", [&] { return sio_flush(fd, nullptr); }, EPIPE}});
  EXPECT_EQ(pair.near.info().error, 0);
}

}  // namespace
}  // namespace sio::test
