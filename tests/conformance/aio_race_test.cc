// SPDX-License-Identifier: BSD-2-Clause
//
// Requests that are queued, cancelled and ended by several at once.
#include <fcntl.h>
#include <sio/aio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <deque>
#include <thread>

#include "conformance/fixtures.h"
#include "conformance/requests.h"

namespace sio::test {
namespace {

class AioRace : public PlainTest {
 protected:
  void SetUp() override {
    PlainTest::SetUp();
    if (no_uring()) GTEST_SKIP() << "io_uring is forbidden here";
  }

  std::array<char, AIO_CB_MAX> buffer_{};
  const Channel channel_;
};

TEST_F(AioRace, OneOfTwoThreadsQueuesTheSameRequest) {
  const Ends pipe = a_pipe();
  for (uint64_t round = 0; round < scaled(500); ++round) {
    aio_cb read = on(pipe.far.get(), buffer_.data(), 1);
    std::atomic<int> waiting{2};
    std::atomic<int> queued{0};
    const auto queue = [&] {
      --waiting;
      while (waiting > 0) {
      }
      if (aio_read_ec(&read) == 0) {
        ++queued;
      } else {
        EXPECT_EQ(errno, EBUSY);
      }
    };
    std::thread other(queue);
    queue();
    other.join();
    ASSERT_EQ(queued, 1);
    must(static_cast<int>(write(pipe.near.get(), "x", 1)), "write");
    ASSERT_EQ(outcome(read), 1);
  }
}

TEST_F(AioRace, ARequestThatIsRefusedKeepsWhatItReturnedBefore) {
  const Fd file = file_in_memory();
  aio_cb write = on(file.get(), buffer_.data(), 16);
  must(aio_write_ec(&write), "aio_write_ec");
  EXPECT_EQ(outcome(write), 16);
  write.aio_offset = -1;
  EXPECT_EQ(aio_write_ec(&write), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(aio_cb_return(&write), 16);
}

// Each is asked to end once, in the moment when there may be something for it, which another takes.
TEST_F(AioRace, EachThatIsCancelledEnds) {
  const Ends pipe = a_pipe();
  std::deque<aio_cb> reads(96);
  for (uint64_t round = 0; round < scaled(40); ++round) {
    for (aio_cb& one : reads) {
      one = told_in(channel_, on(pipe.far.get(), buffer_.data(), 1));
      must(aio_read_ec(&one), "aio_read_ec");
    }
    const std::string some(48, 'x');
    must(static_cast<int>(write(pipe.near.get(), some.data(), some.size())), "write");
    for (aio_cb& one : reads) {
      if (aio_cb_cancel(&one) != 0) {
        EXPECT_EQ(errno, ENOENT);
      }
    }
    size_t read = 0;
    for (size_t i = 0; i < reads.size(); ++i) read += channel_.expect(EC_AIO).error == 0 ? 1 : 0;
    std::array<char, 64> rest{};
    if (read < some.size()) {
      EXPECT_EQ(::read(pipe.far.get(), rest.data(), rest.size()),
                static_cast<ssize_t>(some.size() - read));
    }
  }
}

// More cancellations than there is room for at once: they outlive what they were about.
TEST_F(AioRace, CancellationsMayPileUp) {
  const Fd zero(must(open("/dev/zero", O_RDONLY | O_CLOEXEC), "/dev/zero"));
  std::deque<Ends> pipes;
  std::deque<aio_cb> reads(400);
  while (pipes.size() < reads.size()) pipes.push_back(a_pipe());
  // The kernel's thread has something else to do.
  const Channel other;
  std::vector<char> block(1 << 20);
  std::deque<aio_cb> busy(64);
  for (aio_cb& one : busy) {
    one = told_in(other, on(zero.get(), block.data(), block.size()));
    must(aio_read_ec(&one), "aio_read_ec");
  }
  const auto queue = [&](size_t i) {
    reads[i] = told_in(channel_, on(pipes[i].far.get(), &buffer_[i], 1));
    must(aio_read_ec(&reads[i]), "aio_read_ec");
  };
  for (size_t i = 0; i < reads.size(); ++i) queue(i);
  for (int round = 0; round < 6; ++round) {
    for (aio_cb& one : reads) aio_cb_cancel(&one);
    for (Ends& one : pipes) must(static_cast<int>(write(one.near.get(), "x", 1)), "write");
    event_data_t event;
    while (ec_next_event(channel_.get(), &event) == 0) {
      size_t i = 0;
      while (&reads[i] != event.cookie) ++i;
      queue(i);
    }
  }
  for (aio_cb& one : reads) aio_cb_cancel(&one);
  for (aio_cb& one : reads) {
    if (aio_cb_error(&one) == EINPROGRESS) suspend({&one});
    EXPECT_NE(aio_cb_error(&one), EINPROGRESS);
  }
  while (channel_.try_next(milliseconds(0))) {
  }
  for (size_t i = 0; i < busy.size(); ++i) other.expect(EC_AIO);
}

class AioRaceOnSockets : public DeviceTest {};

TEST_F(AioRaceOnSockets, PiecesOfNothingAreReleasedAndSentAsNothing) {
  Pair pair = make_pair();
  msghdr message{};
  aio_cb send = with(message, on(pair.near.get(), nullptr, 0));
  must(aio_sendmsg(&send, SIO_RELEASE), "aio_sendmsg");
  EXPECT_EQ(pair.far.receive().size(), 0u);
  EXPECT_EQ(outcome(send), 0);
}

TEST_F(AioRaceOnSockets, AMessageIsNamedAfterItsSenderThoughThatHasGone) {
  Pair pair = make_pair();
  const Address sender = pair.near.name();
  pair.near.send("last words");
  pair.near.close();
  ASSERT_TRUE(eventually([&] { return (pair.far.ready() & EPOLLRDHUP) != 0; }));
  iovec piece{};
  sockaddr_storage name{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_name = &name;
  message.msg_namelen = sizeof name;
  aio_cb receive = with(message, on(pair.far.get(), nullptr, 0));
  must(aio_recvmsg(&receive, 0), "aio_recvmsg");
  EXPECT_EQ(outcome(receive), 10);
  EXPECT_EQ(name.ss_family, sender.family());
  must(sio_release(nullptr, piece.iov_base, piece.iov_len), "sio_release");
}

}  // namespace
}  // namespace sio::test
