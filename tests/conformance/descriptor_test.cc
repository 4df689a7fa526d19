// SPDX-License-Identifier: BSD-2-Clause
//
// Plain descriptors in a channel: ec_add_fd, ec_mod_fd, ec_del_fd.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "conformance/fixtures.h"
#include "conformance/lines.h"

namespace sio::test {
namespace {

class DescriptorTest : public PlainTest {
 protected:
  // A pipe: what is written to `in` comes out of `out`.
  DescriptorTest() {
    int ends[2];
    must(pipe2(ends, O_CLOEXEC | O_NONBLOCK), "pipe2");
    out_ = Fd(ends[0]);
    in_ = Fd(ends[1]);
  }

  void write_byte() { EXPECT_EQ(::write(in_.get(), "x", 1), 1); }
  void read_byte() {
    char byte;
    EXPECT_EQ(::read(out_.get(), &byte, 1), 1);
  }
  void add(const Channel& channel, uint32_t events, void* cookie = nullptr) {
    channel.add(out_.get(), events, cookie);
  }
  static bool quiet(const Channel& channel) { return !channel.try_next(milliseconds(30)); }

  Fd out_;
  Fd in_;
  Channel channel_;
};

TEST_F(DescriptorTest, IsToldWhenReady) {
  int cookie = 0;
  add(channel_, EPOLLIN, &cookie);
  EXPECT_TRUE(quiet(channel_));
  write_byte();
  const event_data_t event = channel_.expect(EC_FD);
  EXPECT_EQ(event.fd, out_.get());
  EXPECT_EQ(event.cookie, &cookie);
  EXPECT_EQ(event.ready, uint32_t{EPOLLIN});
  EXPECT_EQ(event.error, 0);
}

TEST_F(DescriptorTest, IsALevelAndComesAgainWhileItIsReady) {
  add(channel_, EPOLLIN);
  write_byte();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(channel_.expect(EC_FD).ready, uint32_t{EPOLLIN});
  read_byte();
  // One may have been noticed before the byte was read; then it is quiet.
  channel_.try_next(milliseconds(30));
  EXPECT_TRUE(quiet(channel_));
  write_byte();
  channel_.expect(EC_FD);
}

TEST_F(DescriptorTest, WaitsInTheRingOnceAtMost) {
  add(channel_, EPOLLIN);
  for (int i = 0; i < 10; ++i) write_byte();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(channel_.wait(kSoon));
  event_data_t events[16];
  EXPECT_EQ(channel_.poll(events).size(), 1u);
}

TEST_F(DescriptorTest, IsToldOncePerEdgeWithEpollet) {
  add(channel_, EPOLLIN | EPOLLET);
  write_byte();
  channel_.expect(EC_FD);
  EXPECT_TRUE(quiet(channel_));
  write_byte();
  channel_.expect(EC_FD);
  EXPECT_TRUE(quiet(channel_));
}

TEST_F(DescriptorTest, IsToldOnceWithEpolloneshot) {
  add(channel_, EPOLLIN | EPOLLONESHOT);
  write_byte();
  channel_.expect(EC_FD);
  write_byte();
  EXPECT_TRUE(quiet(channel_));
  channel_.change(out_.get(), EPOLLIN | EPOLLONESHOT);
  channel_.expect(EC_FD);
  EXPECT_TRUE(quiet(channel_));
}

TEST_F(DescriptorTest, ThatIsDeletedIsQuietAndItsEventIsDropped) {
  add(channel_, EPOLLIN);
  write_byte();
  EXPECT_TRUE(channel_.wait(kSoon));  // it is in the ring
  must(channel_.post(7), "ec_post");
  channel_.remove(out_.get());
  EXPECT_EQ(channel_.expect(EC_USER).value, 7u);
  EXPECT_TRUE(quiet(channel_));
  EXPECT_EQ(ec_del_fd(channel_.get(), out_.get()), -1);
  EXPECT_EQ(errno, ENOENT);
  add(channel_, EPOLLIN);
  channel_.expect(EC_FD);
}

TEST_F(DescriptorTest, ThatIsModifiedHasItsNewBitsAndCookie) {
  int cookie = 0;
  channel_.add(in_.get(), EPOLLIN);
  EXPECT_TRUE(quiet(channel_));
  channel_.change(in_.get(), EPOLLOUT, &cookie);
  const event_data_t event = channel_.expect(EC_FD);
  EXPECT_EQ(event.ready, uint32_t{EPOLLOUT});
  EXPECT_EQ(event.cookie, &cookie);
}

TEST_F(DescriptorTest, TellsOfTheOtherEndsClose) {
  add(channel_, EPOLLIN);
  in_.reset();
  EXPECT_NE(channel_.expect(EC_FD).ready & EPOLLHUP, 0u);
}

TEST_F(DescriptorTest, MayBeInTwoChannelsAndAPollAtOnce) {
  const Channel other;
  int cookie = 0;
  add(channel_, EPOLLIN);
  add(other, EPOLLIN, &cookie);
  write_byte();
  pollfd entry{out_.get(), POLLIN, 0};
  EXPECT_EQ(poll(&entry, 1, static_cast<int>(kSoon.count())), 1);
  EXPECT_EQ(channel_.expect(EC_FD).fd, out_.get());
  EXPECT_EQ(other.expect(EC_FD).cookie, &cookie);
  channel_.remove(out_.get());
  EXPECT_TRUE(quiet(channel_));
  other.expect(EC_FD);
}

TEST_F(DescriptorTest, MayBeAnotherChannel) {
  const Channel inner;
  channel_.add(inner.get(), EPOLLIN);
  EXPECT_FALSE(inner.poll());
  while (channel_.try_next(milliseconds(30))) EXPECT_FALSE(inner.poll());
  must(inner.post(1), "ec_post");
  EXPECT_EQ(channel_.expect(EC_FD).fd, inner.get());
  EXPECT_EQ(inner.expect(EC_USER).value, 1u);
}

TEST_F(DescriptorTest, MakesTheChannelsDescriptorReadable) {
  add(channel_, EPOLLIN);
  pollfd entry{channel_.descriptor(), POLLIN, 0};
  for (int round = 0; round < 20; ++round) {
    while (channel_.poll()) {
    }
    write_byte();
    EXPECT_EQ(poll(&entry, 1, static_cast<int>(kSoon.count())), 1);
    channel_.expect(EC_FD);
    read_byte();
  }
}

TEST_F(DescriptorTest, ManyAreServedInTurn) {
  constexpr int kDescriptors = 200;
  const Channel channel(0, 8);  // far fewer places than descriptors
  std::vector<Fd> counters;
  std::vector<int> told(kDescriptors);
  for (int i = 0; i < kDescriptors; ++i) {
    counters.emplace_back(must(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
    auto* cookie = reinterpret_cast<void*>(static_cast<uintptr_t>(i));
    channel.add(counters.back().get(), EPOLLIN, cookie);
  }
  for (int n = 0; n < 20 * kDescriptors; ++n) {
    ++told[reinterpret_cast<uintptr_t>(channel.expect(EC_FD).cookie)];
  }
  for (const int times : told) EXPECT_GT(times, 0) << "starved";
}

TEST_F(DescriptorTest, MayBeClosedWhileItIsInAChannel) {
  add(channel_, EPOLLIN);
  write_byte();
  out_.reset();
  while (channel_.try_next(milliseconds(10))) {
  }
  must(channel_.post(1), "ec_post");
  channel_.expect(EC_USER);
}

}  // namespace
}  // namespace sio::test
