// SPDX-License-Identifier: BSD-2-Clause
//
// All calls may be made from any thread.
#include <atomic>
#include <cerrno>
#include <mutex>
#include <thread>

#include "conformance/fixtures.h"
#include "conformance/peer.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

using WireThreads = WireTest;

// Joins all of its threads; the first exception of one is a failure of the test.
class Threads {
 public:
  template <typename Body>
  void run(Body body) {
    threads_.emplace_back([body] {
      try {
        body();
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what();
      }
    });
  }
  ~Threads() {
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::vector<std::thread> threads_;
};

// One connection with a channel and an area of its own, both ways at once.
void exchange_alone(uint64_t seed, uint64_t count) {
  Peer peer("exchange seed=" + std::to_string(seed) + " count=" + std::to_string(count));
  const Area area(size_t{4} << 20);
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).associate(area, DMA_SEND).connect(peer.address());
  Outflow out(socket, Pattern(seed + 1), count, Lend::kMixed, &area);
  Inflow in(Pattern(seed), count);
  exchange(channel, out, in);
  socket.close();
  peer.finish();
}

TEST_F(WireThreads, TwoWithAChannelEach) {
  Threads threads;
  threads.run([] { exchange_alone(100, scaled(3000)); });
  threads.run([] { exchange_alone(200, scaled(3000)); });
}

TEST_F(WireThreads, TwoOnOneChannelShareItsEvents) {
  const uint64_t count = scaled(4000);
  Peer peer("source size=100 count=" + std::to_string(count));
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).connect(peer.address());
  // Each message is somebody's, and only once. The order between two threads is nobody's promise.
  const Pattern pattern = Pattern::of_size(1, 100);
  std::atomic<uint64_t> taken{0};
  std::atomic<bool> end{false};
  std::atomic<uint64_t> sum{0};
  {
    Threads threads;
    for (int i = 0; i < 2; ++i) {
      threads.run([&] {
        while (!end) {
          const auto event = channel.try_next(milliseconds(200));
          if (!event) continue;
          if (event->kind == EC_EOF) end = true;
          if (event->kind != EC_RECV) continue;
          const Message message(*event);
          uint64_t word;
          memcpy(&word, message.data(), sizeof word);
          sum += word;
          ++taken;
        }
      });
    }
  }
  EXPECT_EQ(taken, count);
  uint64_t wanted = 0;
  for (uint64_t n = 0; n < count; ++n) {
    char data[100];
    uint64_t word;
    pattern.fill(data, n, sizeof data);
    memcpy(&word, data, sizeof word);
    wanted += word;
  }
  EXPECT_EQ(sum, wanted);
}

TEST_F(WireThreads, TwoOnOneChannelSendAndReceiveOnOneSocket) {
  const uint64_t count = scaled(3000);
  Peer peer("exchange seed=5 largest=1024 count=" + std::to_string(count));
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).connect(peer.address());
  Inflow in(Pattern(5, 1024), count);
  {
    Threads threads;
    threads.run([&] { send_all_blocking(socket, Pattern(6, 1024), count); });
    threads.run([&] {
      while (!in.finished()) in.take(Message(channel.skip_to(EC_RECV)));
    });
  }
  EXPECT_EQ(split_words(peer.expect("done")).at(0), std::to_string(count));
  socket.close();
  peer.finish();
}

TEST_F(WireThreads, TwoOnOneSocketWithoutChannelSendAndReceive) {
  const uint64_t count = scaled(3000);
  Peer peer("exchange seed=7 largest=1024 count=" + std::to_string(count));
  Socket socket = Socket::make();
  socket.connect(peer.address());
  Inflow in(Pattern(7, 1024), count);
  {
    Threads threads;
    threads.run([&] { send_all_blocking(socket, Pattern(8, 1024), count); });
    threads.run([&] { receive_all(Way::kBlocking, nullptr, socket, in); });
  }
  EXPECT_EQ(split_words(peer.expect("done")).at(0), std::to_string(count));
  socket.close();
  peer.finish();
}

TEST_F(WireThreads, ManySendOnOneSocketAndEachKeepsItsOrder) {
  constexpr uint32_t kThreads = 4;
  const uint32_t each = static_cast<uint32_t>(scaled(500));
  Peer peer("echo");
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).connect(peer.address());
  Threads threads;
  for (uint32_t thread = 0; thread < kThreads; ++thread) {
    threads.run([&, thread] {
      for (uint32_t n = 0; n < each; ++n) {
        const uint32_t words[] = {thread, n};
        ASSERT_EQ(socket.try_send(words, sizeof words), 0);
      }
    });
  }
  std::vector<uint32_t> next(kThreads);
  for (uint32_t left = kThreads * each; left > 0; --left) {
    const Message message(channel.skip_to(EC_RECV));
    uint32_t words[2];
    ASSERT_EQ(message.size(), sizeof words);
    memcpy(words, message.data(), sizeof words);
    ASSERT_LT(words[0], kThreads);
    ASSERT_EQ(words[1], next[words[0]]++);
  }
}

TEST_F(WireThreads, ReleaseMessagesOnOtherThreadsThanTheReceivers) {
  const uint64_t count = scaled(3000);
  Peer peer("source lend=mixed count=" + std::to_string(count));
  const Channel channel;
  Socket socket = Socket::make();
  socket.join(channel).connect(peer.address());
  std::mutex mutex;
  std::vector<Message> handed_over;
  std::atomic<bool> end{false};
  Inflow in{Pattern(1)};
  {
    Threads threads;
    for (int i = 0; i < 2; ++i) {
      threads.run([&] {
        while (true) {
          const bool last = end;
          std::vector<Message> mine;
          {
            const std::lock_guard lock(mutex);
            mine.swap(handed_over);
          }
          if (mine.empty() && last) return;
          if (mine.empty()) std::this_thread::yield();
        }
      });
    }
    threads.run([&] {
      for (event_data_t event = channel.next(); event.kind != EC_EOF; event = channel.next()) {
        if (event.kind != EC_RECV) continue;
        Message message(event);
        in.take(message);
        const std::lock_guard lock(mutex);
        handed_over.push_back(std::move(message));
      }
      end = true;
    });
  }
  EXPECT_EQ(in.taken(), count);
}

TEST_F(WireThreads, CloseUnderWhoWaitsEndsTheWait) {
  for (const bool blocked_in_send : {false, true}) {
    Peer slow("slow slots=2");
    Socket socket = Socket::make();
    socket.set_linger(0).connect(slow.address());
    std::atomic<pid_t> waiter{0};
    std::thread thread([&, fd = socket.get()] {
      waiter = gettid();
      const std::vector<char> data(500);
      void* received;
      int result = 0;
      while (result == 0) {
        result = blocked_in_send ? sio_send(fd, data.data(), data.size(), 0)
                                 : sio_recv(fd, &received, SIZE_MAX, 0);
      }
      EXPECT_EQ(result, -1);
      EXPECT_TRUE(errno == EBADF || errno == ECONNABORTED || errno == EPIPE) << errno;
    });
    EXPECT_TRUE(eventually([&] { return waiter != 0; }));
    EXPECT_TRUE(await_asleep(waiter));
    EXPECT_EQ(socket.close(), 0);
    thread.join();
  }
}

}  // namespace
}  // namespace sio::test
