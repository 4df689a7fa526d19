// SPDX-License-Identifier: BSD-2-Clause
//
// The soft provider and a peer that is no soft provider: a TCP socket that says what it likes.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cstring>

#include "base/fd.h"
#include "provider/soft/frame.h"
#include "provider/soft/greeting.h"
#include "seam/desk.h"
#include "seam/events.h"

namespace sio::test {
namespace {

using internal::OwnFd;
using internal::provider::ConnectionEvent;
using internal::provider::QueueSizes;
using internal::provider::soft::FrameHeader;
using internal::provider::soft::Greeting;
using internal::provider::soft::Opcode;
using testing::Each;
using testing::Field;
using testing::IsEmpty;
using testing::SizeIs;
using Kind = ConnectionEvent::Kind;

constexpr QueueSizes kSoftSizes{64, 16, 2, 0, nullptr};

double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class SoftPeer : public testing::Test {
 protected:
  void SetUp() override {
    if (!on_soft()) GTEST_SKIP() << "only the soft provider speaks TCP";
    listener_ = connections().create_endpoint();
    must_not_fail(listener_->bind(Address("127.0.0.1", 0).get(), false), "bind");
    must_not_fail(listener_->listen(1100), "listen");
    const sockaddr_storage name = listener_->local_address();
    stream_.reset(socket(AF_INET, SOCK_STREAM, 0));
    const int small = 4096;  // so that the window shuts soon
    setsockopt(stream_.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    must(::connect(stream_.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(sockaddr_in)),
         "connect");
  }

  void greet() {
    const auto greeting = internal::provider::soft::encode_greeting(
        {Greeting::Kind::kRequest, 77, 0}, std::span<const std::byte>());
    must(static_cast<int>(write(stream_.get(), greeting.data(), greeting.size())), "write");
  }

  // What comes of a good greeting: a queue pair, whose peer has not said that it is ready.
  void accept() {
    greet();
    end_.endpoint = expect_event(Kind::kRequest, listener_.get()).incoming;
    end_.pair = end_.endpoint->create_queue_pair(desk_->queue(), kSoftSizes);
    must_not_fail(end_.endpoint->accept({}), "accept");
    char answer[Greeting::kSize];
    must(static_cast<int>(recv(stream_.get(), answer, sizeof answer, MSG_WAITALL)), "recv");
  }

  static std::string frame(Opcode opcode, uint32_t length = 0, uint32_t taken = 0) {
    FrameHeader header;
    header.opcode = opcode;
    header.length = length;
    header.taken = taken;
    std::string bytes(FrameHeader::kSize, 0);
    encode(header, bytes.data());
    return bytes + std::string(length, 'p');
  }
  void put(std::string_view bytes) {
    must(static_cast<int>(::send(stream_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL)), "send");
  }
  void say(Opcode opcode, uint32_t length = 0, uint32_t taken = 0) {
    put(frame(opcode, length, taken));
  }

  void accept_and_get_ready() {
    accept();
    say(Opcode::kReady);
    expect_event(Kind::kEstablished, end_.endpoint.get());
  }

  void reset_stream() {
    const linger abort{1, 0};
    setsockopt(stream_.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    stream_.reset();
  }

  // More than the sockets hold: 32 x 256 KiB, all from one place.
  static constexpr size_t kMuch = 256 * 1024;
  void send_until_blocked() {
    for (size_t i = 0; i < 32; ++i) end_.send(*desk_, i, kMuch);
  }

  std::unique_ptr<Desk> desk_ = std::make_unique<Desk>(own_device());
  std::unique_ptr<internal::provider::Endpoint> listener_;
  OwnFd stream_;
  End end_;
};

TEST_F(SoftPeer, CanNotAcknowledgeWhatWasNotSentToIt) {
  accept_and_get_ready();
  send_until_blocked();
  say(Opcode::kAcknowledge, 0, 32);
  const auto completions = desk_->expect(32);
  EXPECT_THAT(completions, Each(Field("status", &ibv_wc::status, testing::Ne(IBV_WC_SUCCESS))));
}

TEST_F(SoftPeer, ThatResetsWhileItIsStalledIsHeardOfAtNoCost) {
  accept_and_get_ready();
  send_until_blocked();
  say(Opcode::kSend, 100);  // nobody has posted a receive
  EXPECT_THAT(desk_->poll_for(milliseconds(50)), IsEmpty());
  const double before = processor_seconds();
  reset_stream();
  expect_event(Kind::kDisconnected, end_.endpoint.get());
  EXPECT_THAT(desk_->expect(32), SizeIs(32));
  EXPECT_LT(processor_seconds() - before, 1.5);
}

TEST_F(SoftPeer, MaySayWhatItSaysByteByByte) {
  accept_and_get_ready();
  const int at_once = 1;
  setsockopt(stream_.get(), IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
  for (size_t i = 0; i < 3; ++i) end_.receive_into(*desk_, i);
  std::vector<uint32_t> lengths;
  for (const char byte : frame(Opcode::kSend, 5) + frame(Opcode::kSend) + frame(Opcode::kSend, 9)) {
    put({&byte, 1});
    for (const ibv_wc& wc : desk_->poll_for(milliseconds(0))) lengths.push_back(wc.byte_len);
  }
  for (const ibv_wc& wc : desk_->expect(3 - lengths.size())) lengths.push_back(wc.byte_len);
  EXPECT_THAT(lengths, testing::ElementsAre(5, 0, 9));
}

// Nobody can tell whether it still listens, so it is given some time.
TEST_F(SoftPeer, ThatHasSaidGoodbyeFailsWhatItDoesNotAcknowledge) {
  accept_and_get_ready();
  must(::shutdown(stream_.get(), SHUT_WR), "shutdown");
  expect_event(Kind::kDisconnected, end_.endpoint.get());
  send_until_blocked();
  const auto completions = desk_->expect(32);
  EXPECT_EQ(completions.front().status, IBV_WC_RETRY_EXC_ERR);
  EXPECT_EQ(completions.back().status, IBV_WC_WR_FLUSH_ERR);
}

// A program may unmap what it has registered; of verbs the pages would live on.
TEST_F(SoftPeer, IsSentNothingFromMemoryThatIsNoLongerMapped) {
  accept_and_get_ready();
  void* const memory = mmap(nullptr, kMuch, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const auto region = own_device().register_memory(memory, kMuch);
  munmap(memory, kMuch);
  end_.send(*desk_, 7, 100);
  ibv_sge piece{reinterpret_cast<uintptr_t>(memory), kMuch, region->lkey()};
  ibv_send_wr wr{};
  wr.wr_id = 8;
  wr.sg_list = &piece;
  wr.num_sge = 1;
  wr.opcode = IBV_WR_SEND;
  ibv_send_wr* bad;
  ASSERT_EQ(end_.pair->post_send(&wr, &bad), 0);
  const auto completions = desk_->expect(2);
  EXPECT_THAT(wr_ids(completions), testing::ElementsAre(7, 8));
  EXPECT_THAT(completions, Each(Field("status", &ibv_wc::status, testing::Ne(IBV_WC_SUCCESS))));
}

TEST_F(SoftPeer, ThatNeverGetsReadyIsGivenUp) {
  accept();
  EXPECT_EQ(expect_event(Kind::kFailed, end_.endpoint.get()).error, ETIMEDOUT);
}

TEST_F(SoftPeer, MustGetReadyFirstAndOnce) {
  accept_and_get_ready();
  end_.receive_into(*desk_, 0);
  say(Opcode::kReady);
  EXPECT_EQ(desk_->expect(1).front().status, IBV_WC_WR_FLUSH_ERR);
}

TEST_F(SoftPeer, ThatSaysSomethingElseFirstIsNotReady) {
  accept();
  end_.receive_into(*desk_, 0);
  say(Opcode::kSend, 10);
  EXPECT_EQ(desk_->expect(1).front().status, IBV_WC_WR_FLUSH_ERR);
}

TEST_F(SoftPeer, IsSentNothingFromMemoryThatWasGivenUp) {
  accept_and_get_ready();
  send_until_blocked();
  {
    Desk other(own_device());
    end_.send(other, 0, 100);
  }  // with its registration
  std::vector<char> bytes(65'536);
  timeval limit{1, 0};
  setsockopt(stream_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  size_t read = 0;
  for (ssize_t n; (n = recv(stream_.get(), bytes.data(), bytes.size(), 0)) > 0;) {
    read += static_cast<size_t>(n);
    desk_->poll_for(milliseconds(0));
  }
  // The last frame is that of a question for an acknowledgement.
  EXPECT_EQ(read, 32 * (kMuch + FrameHeader::kSize) + FrameHeader::kSize);
  say(Opcode::kAcknowledge, 0, 32);
  const auto completions = desk_->expect(33);
  EXPECT_EQ(completions[31].status, IBV_WC_SUCCESS);
  EXPECT_EQ(completions[32].status, IBV_WC_LOC_PROT_ERR);
}

TEST_F(SoftPeer, IsNotHeldUpByOthersThatSayNothing) {
  const sockaddr_storage name = listener_->local_address();
  std::vector<OwnFd> silent;
  while (silent.size() < 1030) {
    OwnFd fd(socket(AF_INET, SOCK_STREAM, 0));
    if (!fd) GTEST_SKIP() << "the limit for descriptors is too low: " << silent.size();
    must(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(sockaddr_in)),
         "connect");
    silent.push_back(std::move(fd));
  }
  // The oldest ones went, our own among them.
  stream_.reset(socket(AF_INET, SOCK_STREAM, 0));
  must(::connect(stream_.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(sockaddr_in)),
       "connect");
  accept_and_get_ready();
}

TEST_F(SoftPeer, IsRefusedWhatIsNoGreeting) {
  const std::string other = "GET / HTTP/1.0\r\n\r\n";
  must(static_cast<int>(write(stream_.get(), other.data(), other.size())), "write");
  char byte;
  EXPECT_LE(recv(stream_.get(), &byte, 1, 0), 0);
  EXPECT_FALSE(try_next_event(milliseconds(50), listener_.get()));
}

}  // namespace
}  // namespace sio::test
