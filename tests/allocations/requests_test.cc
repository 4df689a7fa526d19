// SPDX-License-Identifier: BSD-2-Clause
//
// The same of requests (<sio/aio.h>), wherever their end is told, and of those that the kernel
// does.
#include "conformance/requests.h"

#include <unistd.h>

#include <array>
#include <cerrno>

#include "allocations/measure.h"

namespace sio::test {
namespace {

constexpr size_t kRequests = 16;  // under way at a time, each way
constexpr size_t kBytes = 64;

// Where the ends are told.
enum class Told : uint8_t { kInTheSocketsChannel, kInAnother, kNowhere };

const char* name_of(Told told) {
  static constexpr const char* kNames[] = {"ToldInTheSocketsChannel", "ToldInAnother",
                                           "ToldNowhere"};
  return kNames[static_cast<size_t>(told)];
}

class RequestAllocations : public AllocationTest, public testing::WithParamInterface<Told> {
 protected:
  aio_cb told(const sio::Channel& own, aio_cb block) {
    if (GetParam() == Told::kNowhere) return block;
    block.aio_sigevent.sigev_notify = SIGEV_EC;
    block.aio_sigevent.sigev_ec = GetParam() == Told::kInAnother ? another_.handle() : own.handle();
    return block;
  }

  // So many messages from requests into requests.
  void exchange(BothEnds& ends, uint64_t n) {
    uint64_t sent = 0;
    uint64_t ended = 0;
    uint64_t taken = 0;
    const auto end = Clock::now() + kSoon * 8;
    while (taken != n || ended != n) {
      for (size_t i = 0; i < kRequests; ++i) {
        ended += settle(sends_[i], sending_[i]);
        taken += settle(receives_[i], receiving_[i]);
        if (!sending_[i] && sent < n) {
          sends_[i] = told(ends.near_channel(), on(ends.near().descriptor(), text_.data(), kBytes));
          sending_[i] = aio_send(&sends_[i], 0) == 0;
          sent += sending_[i];
        }
        if (!receiving_[i]) {
          receives_[i] = told(ends.far_channel(), on(ends.far().descriptor(), nullptr, 8192));
          receiving_[i] = aio_recv(&receives_[i], 0) == 0;
        }
      }
      while (ends.near_channel().next() || ends.far_channel().next() || another_.next()) {
      }
      if (Clock::now() > end) fail("it takes too long");
    }
  }

  // Whether it has ended; what it received is released.
  size_t settle(aio_cb& request, bool& under_way) {
    if (!under_way || aio_cb_error(&request) == EINPROGRESS) return 0;
    under_way = false;
    if (aio_cb_return(&request) != static_cast<ssize_t>(kBytes)) ++wrong_;
    if (request.aio_buf != text_.data()) sio_release(nullptr, request.aio_buf, kBytes);
    return 1;
  }

  const sio::Channel another_{0u};
  std::array<char, kBytes> text_{};
  std::array<aio_cb, kRequests> sends_{};
  std::array<aio_cb, kRequests> receives_{};
  std::array<bool, kRequests> sending_{};
  std::array<bool, kRequests> receiving_{};
  uint64_t wrong_ = 0;
};

TEST_P(RequestAllocations, AreNone) {
  BothEnds ends(Give::kCopied, Take::kReceived, kBytes);
  expect_none(messages(100'000, 5000), [&](uint64_t some) { exchange(ends, some); });
  EXPECT_EQ(wrong_, 0u);
  for (aio_cb& request : receives_) (void)aio_cb_cancel(&request);
}

INSTANTIATE_TEST_SUITE_P(Each, RequestAllocations,
                         testing::Values(Told::kInTheSocketsChannel, Told::kInAnother,
                                         Told::kNowhere),
                         [](const auto& info) { return name_of(info.param); });

// A wait for each message, in the channel of the socket and beside it.
TEST_F(AllocationTest, WaitsForRequestsAllocateNothing) {
  Pair pair = make_pair();
  const sio::Channel channel(0u);
  std::array<char, kBytes> text{};
  uint64_t wrong = 0;
  expect_none(messages(10'000, 1000), [&](uint64_t some) {
    for (uint64_t i = 0; i < some; ++i) {
      aio_cb receive = on(pair.far.get(), nullptr, 8192);
      if (i % 2 == 1) {
        receive.aio_sigevent.sigev_notify = SIGEV_EC;
        receive.aio_sigevent.sigev_ec = channel.handle();
      }
      const aio_cb* const list[] = {&receive};
      const timespec limit = to_timespec(kSoon);
      wrong += aio_recv(&receive, 0) != 0;
      wrong += sio_send(pair.near.get(), text.data(), text.size(), 0) != 0;
      wrong += aio_cb_suspend(list, 1, &limit) != 0;
      wrong += aio_cb_return(&receive) != static_cast<ssize_t>(kBytes);
      sio_release(nullptr, receive.aio_buf, kBytes);
      while (channel.next()) {
      }
    }
  });
  EXPECT_EQ(wrong, 0u);
}

TEST_F(AllocationTest, ReadsOfFilesAllocateNothing) {
  if (no_uring()) GTEST_SKIP() << "no io_uring here: a kernel or a container forbids it";
  const Fd file = file_in_memory();
  std::array<char, 4096> room{};
  ASSERT_EQ(write(file.get(), room.data(), room.size()), static_cast<ssize_t>(room.size()));
  const sio::Channel channel(0u);
  uint64_t wrong = 0;
  expect_none(messages(20'000, 500), [&](uint64_t some) {
    for (uint64_t i = 0; i < some; ++i) {
      aio_cb request = on(file.get(), room.data(), room.size());
      request.aio_sigevent.sigev_notify = SIGEV_EC;
      request.aio_sigevent.sigev_ec = channel.handle();
      wrong += aio_read_ec(&request) != 0;
      while (!channel.next()) wrong += !channel.wait(kSoon);
      wrong += aio_cb_return(&request) != static_cast<ssize_t>(room.size());
    }
  });
  EXPECT_EQ(wrong, 0u);
}

// As many requests as may be under way, of which the peer lets none end; and then it does.
TEST_F(AllocationTest, RequestsThatPeersDoNotLetEndLetNothingGrow) {
  BothEnds ends(Give::kCopied, Take::kReceived, kBytes);
  std::vector<aio_cb> receives(AIO_CB_MAX);
  expect_no_growth(messages(1000, 50), [&] {
    size_t queued = 0;
    for (aio_cb& request : receives) {
      request = on(ends.far().descriptor(), nullptr, 8192);
      queued += aio_recv(&request, 0) == 0;
    }
    for (aio_cb& request : receives) {
      if (aio_cb_error(&request) == EINPROGRESS) (void)aio_cb_cancel(&request);
    }
    EXPECT_EQ(queued, receives.size());
  });
}

}  // namespace
}  // namespace sio::test
