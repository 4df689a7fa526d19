// SPDX-License-Identifier: BSD-2-Clause
//
// Asynchronous requests on sio sockets, and a file's way through an area to a peer.
#include <sio/aio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <thread>

#include "conformance/denials.h"
#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/requests.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

// ----------------------------------------------------------------------------------- sio sockets

// One end in no channel, the other in one of its own unless the test says otherwise.
class AioSockets : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (!IsSkipped()) area_ = Area(size_t{1} << 20);
  }

  // The far one is the one that connects, so that it has these events; the near one delivers.
  void connect(uint32_t events = EPOLLIN) {
    pair_ = make_pair(&far_, &near_, events);
    std::swap(pair_.near, pair_.far);
  }
  void connect_plainly() { pair_ = make_pair(); }

  Message block(std::string_view text) {
    Message one = Message::reserve(area_, text.size());
    std::memcpy(one.data(), text.data(), text.size());
    return one;
  }

  Area area_;
  Channel near_;
  Channel far_;
  Pair pair_;
};

TEST_F(AioSockets, ReceiveGivesTheMessageWhereItLies) {
  connect();
  aio_cb first = told_in(far_, on(pair_.far.get(), nullptr, SIZE_MAX));
  aio_cb second = told_in(far_, on(pair_.far.get(), nullptr, SIZE_MAX));
  must(aio_recv(&first, 0), "aio_recv");
  must(aio_read_ec(&second), "aio_read_ec");
  EXPECT_FALSE(far_.try_next(kQuiet));
  pair_.near.send("one");
  pair_.near.send("two");
  pair_.near.send("three");
  for (aio_cb* request : {&first, &second}) {
    const event_data_t event = far_.expect(EC_AIO);
    EXPECT_EQ(event.cookie, request);
    EXPECT_EQ(event.fd, pair_.far.get());
    EXPECT_EQ(event.data.buf, request->aio_buf);
    EXPECT_EQ(event.data.mem, pair_.far.get_option<dma_mem_t>(SIO_AREA));
    EXPECT_EQ(Message(event).view(), request == &first ? "one" : "two");
  }
  far_.expect(EC_READABLE);  // the third
  EXPECT_EQ(pair_.far.receive().view(), "three");
}

TEST_F(AioSockets, ReceiveIsToldInAnotherChannel) {
  connect();
  const Channel other;
  aio_cb request = told_in(other, on(pair_.far.get(), nullptr, SIZE_MAX));
  must(aio_recv(&request, 0), "aio_recv");
  EXPECT_FALSE(other.try_next(kQuiet));
  pair_.near.send("over there");
  EXPECT_EQ(Message(other.expect(EC_AIO)).view(), "over there");
}

TEST_F(AioSockets, ReceiveOnASocketInNoChannel) {
  connect_plainly();
  Message got;
  aio_cb request = told_in(far_, on(pair_.far.get(), nullptr, SIZE_MAX));
  must(aio_recv(&request, 0), "aio_recv");
  EXPECT_FALSE(far_.try_next(kQuiet));
  pair_.near.send("hidden");
  EXPECT_EQ(Message(far_.expect(EC_AIO)).view(), "hidden");
  pair_.near.send("there already");
  must(aio_recv(&request, 0), "aio_recv");
  EXPECT_EQ(Message(far_.expect(EC_AIO)).view(), "there already");
}

TEST_F(AioSockets, ReceiveIsWaitedForAndPolled) {
  connect_plainly();
  aio_cb request = on(pair_.far.get(), nullptr, SIZE_MAX);
  must(aio_recv(&request, 0), "aio_recv");
  EXPECT_EQ(aio_cb_error(&request), EINPROGRESS);
  EXPECT_EQ(suspend({&request}, milliseconds(10)), ETIMEDOUT);
  std::thread sender([&] { pair_.near.send("waited for"); });
  EXPECT_EQ(outcome(request), 10);
  EXPECT_EQ(Message(request.aio_buf, 10).view(), "waited for");
  sender.join();
  must(aio_recv(&request, 0), "aio_recv");
  pair_.near.send("polled");
  EXPECT_TRUE(eventually([&] { return aio_cb_error(&request) == 0; }));
  EXPECT_EQ(Message(request.aio_buf, 6).view(), "polled");
}

TEST_F(AioSockets, ReceiveAsAMessageInPieces) {
  connect();
  iovec piece{};
  sockaddr_storage from{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  aio_cb request = told_in(far_, with(message, on(pair_.far.get(), nullptr, 0)));
  must(aio_recvmsg(&request, 0), "aio_recvmsg");
  pair_.near.send("pieces");
  const event_data_t event = far_.expect(EC_AIO);
  EXPECT_EQ(event.data.buf, &message);
  EXPECT_EQ(event.data.len, 6u);
  EXPECT_EQ(message.msg_iovlen, 1u);
  EXPECT_EQ(Message(piece.iov_base, piece.iov_len).view(), "pieces");
  EXPECT_EQ(from.ss_family, Address::self().family());
}

TEST_F(AioSockets, ReceiveOfOneThatIsTooLongLeavesIt) {
  connect();
  aio_cb request = told_in(far_, on(pair_.far.get(), nullptr, 3));
  must(aio_recv(&request, 0), "aio_recv");
  pair_.near.send("four");
  EXPECT_EQ(far_.skip_to(EC_AIO).error, EMSGSIZE);
  EXPECT_EQ(pair_.far.receive().view(), "four");
}

TEST_F(AioSockets, ReceiveEndsWithTheConnection) {
  connect();
  aio_cb request = told_in(far_, on(pair_.far.get(), &request, SIZE_MAX));
  must(aio_recv(&request, 0), "aio_recv");
  must(sio_shutdown(pair_.near.get(), SHUT_WR), "sio_shutdown");
  const event_data_t event = far_.skip_to(EC_AIO);
  EXPECT_EQ(event.error, 0);
  EXPECT_EQ(event.data.buf, nullptr);
  EXPECT_EQ(event.data.len, 0u);
  EXPECT_EQ(request.aio_buf, nullptr);
}

TEST_F(AioSockets, ReceiveHearsWhyAConnectionFailed) {
  connect();
  aio_cb request = told_in(far_, on(pair_.far.get(), nullptr, SIZE_MAX));
  must(aio_recv(&request, 0), "aio_recv");
  pair_.near.set_linger(0);
  pair_.near.close();
  const event_data_t event = far_.skip_to(EC_AIO);
  EXPECT_EQ(event.error, ECONNRESET);
}

TEST_F(AioSockets, ReceiveOnOneWhoseConnectFails) {
  const Socket bound = Socket::make();
  Socket nobody = Socket::make();
  nobody.bind(Address::self());
  Socket socket = Socket::make(SOCK_NONBLOCK);
  socket.join(near_, EPOLLIN);
  ASSERT_EQ(socket.try_connect(nobody.name()), EINPROGRESS);
  aio_cb request = told_in(near_, on(socket.get(), nullptr, SIZE_MAX));
  if (aio_recv(&request, 0) != 0) {  // it had failed by then
    EXPECT_EQ(errno, ENOTCONN);
    return;
  }
  EXPECT_EQ(outcome(request), -ENOTCONN);
}

TEST_F(AioSockets, ReceiveIsCancelled) {
  connect();
  aio_cb first = told_in(far_, on(pair_.far.get(), nullptr, SIZE_MAX));
  aio_cb second = told_in(near_, on(pair_.far.get(), nullptr, SIZE_MAX));
  must(aio_recv(&first, 0), "aio_recv");
  must(aio_recv(&second, 0), "aio_recv");
  must(aio_cb_cancel(&first), "aio_cb_cancel");
  EXPECT_EQ(far_.expect(EC_AIO).error, ECANCELED);
  EXPECT_EQ(aio_cb_cancel(&first), -1);
  EXPECT_EQ(errno, ENOENT);
  pair_.near.send("for the second");
  EXPECT_EQ(Message(near_.expect(EC_AIO)).view(), "for the second");
}

TEST_F(AioSockets, ReceiveEndsWhenTheSocketIsClosed) {
  connect();
  aio_cb own = told_in(far_, on(pair_.far.get(), nullptr, SIZE_MAX));
  aio_cb other = told_in(near_, on(pair_.far.get(), nullptr, SIZE_MAX));
  must(aio_recv(&own, 0), "aio_recv");
  must(aio_recv(&other, 0), "aio_recv");
  pair_.far.close();
  EXPECT_EQ(outcome(own), -ECANCELED);
  EXPECT_EQ(outcome(other), -ECANCELED);
  EXPECT_EQ(far_.expect(EC_AIO).error, ECANCELED);
}

TEST_F(AioSockets, SendIsToldWhenAcknowledged) {
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Socket socket = Socket::make();
  socket.join(near_).associate(area_, DMA_SEND);
  std::thread accept([&] { pair_.far = listener.accept(); });
  socket.connect(listener.name());
  accept.join();
  Message lent = block("lent where it lies, and longer than what a train would copy of it");
  aio_cb send = told_in(near_, on(socket.get(), lent.data(), lent.size()));
  must(aio_send(&send, 0), "aio_send");
  EXPECT_GT(accounts(area_.get()).in_flight + static_cast<size_t>(aio_cb_error(&send) == 0), 0u);
  const event_data_t event = near_.expect(EC_AIO);
  EXPECT_EQ(event.cookie, &send);
  EXPECT_EQ(event.data.buf, lent.data());
  EXPECT_EQ(event.data.len, lent.size());
  EXPECT_EQ(event.data.mem, area_.get());
  EXPECT_EQ(accounts(area_.get()).in_flight, 0u);
  EXPECT_EQ(pair_.far.receive().view(), lent.view());

  char text[] = "copied";
  aio_cb copied = told_in(near_, on(socket.get(), text, 6));
  must(aio_write_ec(&copied), "aio_write_ec");
  EXPECT_EQ(near_.expect(EC_AIO).data.len, 6u);
  EXPECT_EQ(pair_.far.receive().view(), "copied");

  Message given = block("given away");
  aio_cb release = told_in(near_, on(socket.get(), given.data(), given.size()));
  must(aio_send(&release, SIO_RELEASE), "aio_send");
  given.give_up();
  EXPECT_EQ(near_.expect(EC_AIO).error, 0);
  EXPECT_EQ(pair_.far.receive().view(), "given away");
  EXPECT_EQ(accounts(area_.get()).reserved, 128u);  // the first one
  socket.close();
}

TEST_F(AioSockets, SendOfPiecesEndsWhenAllAreTheProgramsAgain) {
  Socket listener = Socket::make();
  listener.bind(Address::self()).listen();
  Socket socket = Socket::make();
  socket.associate(area_, DMA_SEND);
  std::thread accept([&] { pair_.far = listener.accept(); });
  socket.connect(listener.name());
  accept.join();
  Message first = block(std::string(2000, 'a'));
  Message second = block(std::string(1000, 'b'));
  char between[] = "-";
  iovec pieces[] = {{first.data(), 2000}, {between, 1}, {second.data(), 1000}};
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = 3;
  aio_cb send = on(socket.get(), nullptr, 0);
  send.aio_msghdr = &message;
  must(aio_sendmsg(&send, 0), "aio_sendmsg");
  EXPECT_EQ(outcome(send), 3001);
  EXPECT_EQ(accounts(area_.get()).in_flight, 0u);
  EXPECT_EQ(pair_.far.receive().view(), std::string(2000, 'a') + "-" + std::string(1000, 'b'));
  pieces[0] = {between, 1};
  pieces[2] = {between, 1};
  must(aio_sendmsg(&send, 0), "aio_sendmsg");
  EXPECT_EQ(outcome(send), 3);
  EXPECT_EQ(pair_.far.receive().view(), "---");
  socket.close();
}

// Each in its order, with EC_SENT for those that were sent plainly.
TEST_F(AioSockets, SendsAndPlainSendsEachHaveTheirOutcome) {
  connect(EC_DELIVER);
  constexpr int kMessages = 500;
  std::deque<aio_cb> requests;
  int plain = 0;
  int asked = 0;
  int received = 0;
  const auto take = [&](const Channel& channel) {
    while (const auto event = channel.try_next(milliseconds(0))) {
      if (event->kind == EC_RECV) {
        EXPECT_EQ(Message(*event).view(), std::to_string(received++));
      } else if (event->kind == EC_AIO) {
        EXPECT_EQ(event->cookie, &requests[static_cast<size_t>(asked++)]);
        EXPECT_EQ(event->error, 0);
      }
    }
  };
  for (int i = 0; i < kMessages; ++i) {
    const std::string text = std::to_string(i);
    std::vector<char> data(text.begin(), text.end());
    const bool ask = i % 3 != 0;
    if (ask) {
      requests.push_back(told_in(near_, on(pair_.near.get(), data.data(), data.size())));
    } else {
      ++plain;
    }
    while ((ask ? aio_send(&requests.back(), 0)
                : sio_send(pair_.near.get(), data.data(), data.size(), MSG_DONTWAIT)) != 0) {
      ASSERT_EQ(errno, EAGAIN);
      take(near_);
      take(far_);
    }
  }
  EXPECT_TRUE(eventually([&] {
    take(near_);
    take(far_);
    return received == kMessages && asked == kMessages - plain;
  }));
}

TEST_F(AioSockets, SendWithoutRoomIsRefused) {
  connect_plainly();
  char text[64]{};
  std::deque<aio_cb> requests;
  for (;;) {
    requests.push_back(on(pair_.near.get(), text, sizeof text));
    if (aio_send(&requests.back(), 0) != 0) break;
    ASSERT_LT(requests.size(), 100'000u);
  }
  EXPECT_EQ(errno, EAGAIN);
  requests.pop_back();
  size_t received = 0;
  while (received < requests.size()) {
    EXPECT_EQ(pair_.far.receive().size(), sizeof text);
    ++received;
  }
  for (aio_cb& one : requests) EXPECT_EQ(outcome(one), 64);
}

TEST_F(AioSockets, SendFailsWithItsConnection) {
  connect();
  char text[64]{};
  std::deque<aio_cb> requests;
  // The peer takes these in only as far as it has slots; the rest is lost when it goes.
  for (;;) {
    requests.push_back(told_in(near_, on(pair_.near.get(), text, sizeof text)));
    if (aio_send(&requests.back(), 0) != 0) break;
  }
  requests.pop_back();
  pair_.far.set_linger(0);
  pair_.far.close();
  for (aio_cb& one : requests) {
    const ssize_t result = outcome(one);
    EXPECT_TRUE(result == 64 || result == -ECONNRESET) << result;
  }
  aio_cb late = told_in(near_, on(pair_.near.get(), text, sizeof text));
  EXPECT_TRUE(eventually([&] { return aio_send(&late, 0) != 0; }));
}

TEST_F(AioSockets, EventsAreHeldBackWhileTheRingIsFull) {
  const Channel small(0, 2);
  connect();
  constexpr int kMessages = 30;
  std::deque<aio_cb> requests;
  for (int i = 0; i < kMessages; ++i) {
    requests.push_back(told_in(small, on(pair_.far.get(), nullptr, SIZE_MAX)));
    must(aio_recv(&requests.back(), 0), "aio_recv");
  }
  for (int i = 0; i < kMessages; ++i) pair_.near.send(std::to_string(i));
  for (int i = 0; i < kMessages; ++i) {
    EXPECT_EQ(Message(small.expect(EC_AIO)).view(), std::to_string(i));
  }
}

TEST_F(AioSockets, NoticesComeOfThemToo) {
  connect_plainly();
  Called called;
  aio_cb receive = called.told_by(on(pair_.far.get(), nullptr, SIZE_MAX));
  must(aio_recv(&receive, 0), "aio_recv");
  pair_.near.send("while the program sleeps");
  ASSERT_TRUE(eventually([&] { return called.called.load(); }));
  EXPECT_EQ(aio_cb_return(&receive), 24);
  const Message message(receive.aio_buf, 24);
}

TEST_F(AioSockets, MisuseIsRefused) {
  connect(EC_DELIVER);
  const Socket fresh = Socket::make();
  char text[8]{};
  std::vector<char> large(1 << 16);
  aio_cb delivering = on(pair_.far.get(), nullptr, 1);
  aio_cb unconnected = on(fresh.get(), text, 1);
  aio_cb plain = on(pair_.near.get(), text, 1);
  aio_cb nowhere = on(pair_.near.get(), nullptr, 1);
  aio_cb too_large = on(pair_.near.get(), large.data(), 4096);
  aio_cb oversized = on(pair_.near.get(), large.data(), size_t{1} << 40);
  aio_cb no_channel = told_in(near_, plain);
  no_channel.aio_sigevent.sigev_ec = fresh.get();
  msghdr message{};
  aio_cb in_pieces = with(message, plain);
  sockaddr_storage to{};
  msghdr addressed{};
  addressed.msg_name = &to;
  aio_cb to_somebody = with(addressed, plain);
  msghdr controlled{};
  controlled.msg_controllen = 1;
  aio_cb with_control = with(controlled, plain);
  std::vector<iovec> many(17, iovec{text, 1});
  msghdr gathered{};
  gathered.msg_iov = many.data();
  gathered.msg_iovlen = many.size();
  aio_cb of_many = with(gathered, plain);
  expect_errors({
      {"of one that delivers", [&] { return aio_recv(&delivering, 0); }, EINVAL},
      {"send, not connected", [&] { return aio_send(&unconnected, 0); }, ENOTCONN},
      {"receive, not connected", [&] { return aio_recv(&unconnected, 0); }, ENOTCONN},
      {"an unknown flag", [&] { return aio_send(&plain, MSG_OOB); }, EINVAL},
      {"a flag to receive", [&] { return aio_recv(&plain, MSG_PEEK); }, EINVAL},
      {"from nowhere", [&] { return aio_send(&nowhere, 0); }, EINVAL},
      {"large, in no area", [&] { return aio_send(&too_large, 0); }, EFAULT},
      {"larger than anything", [&] { return aio_send(&oversized, 0); }, EMSGSIZE},
      {"SIO_RELEASE in no area", [&] { return aio_send(&plain, SIO_RELEASE); }, EINVAL},
      {"not a channel", [&] { return aio_send(&no_channel, 0); }, EBADF},
      {"no place for the pieces", [&] { return aio_recvmsg(&in_pieces, 0); }, EINVAL},
      {"an address", [&] { return aio_sendmsg(&to_somebody, 0); }, EISCONN},
      {"control data", [&] { return aio_sendmsg(&with_control, 0); }, EINVAL},
      {"too many pieces", [&] { return aio_sendmsg(&of_many, 0); }, EMSGSIZE},
  });
  EXPECT_EQ(aio_cb_error(&plain), -1);
  must(sio_shutdown(pair_.near.get(), SHUT_WR), "sio_shutdown");
  expect_errors({{"shut down", [&] { return aio_send(&plain, 0); }, EPIPE}});
}

TEST_F(AioSockets, NeedNoIoUring) {
  connect();
  std::thread([&] {
    forbid_call(SYS_io_uring_setup, EPERM);
    const Channel fresh;
    aio_cb receive = told_in(fresh, on(pair_.far.get(), nullptr, SIZE_MAX));
    must(aio_recv(&receive, 0), "aio_recv");
    pair_.near.send("without");
    EXPECT_EQ(Message(fresh.expect(EC_AIO)).view(), "without");
  }).join();
}

TEST_F(AioSockets, ManyThreadsWithChannelsCrossed) {
  constexpr int kPairs = 3;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int i = 0; i < kPairs; ++i) {
    threads.emplace_back([&, i] {
      const Channel near;
      const Channel far;
      Pair pair = make_pair(&far, &near, EPOLLIN);
      std::swap(pair.near, pair.far);
      // The end is told in the channel of the other socket.
      const Channel& here = i == 0 ? near : far;
      for (uint64_t n = 0; n < scaled(200); ++n) {
        aio_cb receive = told_in(here, on(pair.far.get(), nullptr, SIZE_MAX));
        char text[] = "cross";
        aio_cb send = told_in(here, on(pair.near.get(), text, 5));
        must(aio_recv(&receive, 0), "aio_recv");
        must(aio_send(&send, 0), "aio_send");
        for (int told = 0; told < 2; ++told) {
          const event_data_t event = here.skip_to(EC_AIO);
          wrong += event.error != 0;
          if (event.cookie == &receive) wrong += Message(event).view() != "cross";
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

// ---------------------------------------------------------------------------- from file to socket

// A file goes through an area to a peer and back, and nothing copies it in between: it is read
// where it is sent from, and compared where it was received.
class WireAio : public WireTest {
 protected:
  void SetUp() override {
    WireTest::SetUp();
    if (!IsSkipped() && no_uring()) GTEST_SKIP() << "io_uring is forbidden here";
  }
};

TEST_F(WireAio, AFileIsReadSentReceivedAndTheSame) {
  constexpr size_t kPiece = 8192;
  constexpr size_t kPieces = 64;
  const Pattern pattern(3);
  const Fd file = file_in_memory();
  std::vector<char> data(kPiece * kPieces);
  pattern.fill(data.data(), 0, data.size());
  must(static_cast<int>(write(file.get(), data.data(), data.size())), "write");

  const Area area(kPiece * kPieces);
  const Channel channel;
  Peer peer("echo");
  Socket socket = Socket::make();
  socket.join(channel, EPOLLIN).associate(area, DMA_SEND).connect(peer.address());
  for (size_t i = 0; i < kPieces; ++i) {
    Message block = Message::reserve(area, kPiece);
    const auto at = static_cast<off_t>(i * kPiece);
    aio_cb read = told_in(channel, on(file.get(), block.data(), kPiece, at));
    must(aio_read_ec(&read), "aio_read_ec");
    EXPECT_EQ(channel.skip_to(EC_AIO).data.len, kPiece);
    const uint64_t copied = socket.info().bytes_sent;
    aio_cb send = told_in(channel, on(socket.get(), block.data(), kPiece));
    aio_cb receive = told_in(channel, on(socket.get(), nullptr, SIZE_MAX));
    must(aio_recv(&receive, 0), "aio_recv");
    must(aio_send(&send, 0), "aio_send");
    for (int told = 0; told < 2; ++told) {
      const event_data_t event = channel.skip_to(EC_AIO);
      EXPECT_EQ(event.error, 0);
      EXPECT_EQ(event.data.len, kPiece);
      EXPECT_TRUE(event.cookie != &send || event.data.buf == block.data());
      if (event.cookie != &receive) continue;
      const Message back(event);
      EXPECT_EQ(std::memcmp(back.data(), data.data() + at, kPiece), 0);
    }
    EXPECT_EQ(socket.info().bytes_sent, copied + kPiece);
  }
  socket.close();
  peer.finish();
}

}  // namespace
}  // namespace sio::test
