// SPDX-License-Identifier: BSD-2-Clause
//
// Frames through a stream that is cut anywhere, into receives that are posted at any time.
#include "provider/soft/inlet.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>
#include <random>
#include <string>

#include "base/fd.h"

namespace sio::internal::provider::soft {
namespace {

constexpr size_t kReceiveBytes = 4096;

// Keeps what comes, in receives that it is given.
class Collector final : public FrameSink {
 public:
  void post() { receives_.emplace_back(kReceiveBytes, '#'); }
  size_t posted() const { return receives_.size(); }

  Verdict begin(const FrameHeader& header) noexcept override {
    if (!takes_receive(header.opcode)) return Verdict::kTake;
    if (receives_.empty()) return Verdict::kNotReady;
    if (header.length > kReceiveBytes) return Verdict::kBroken;
    current_ = std::move(receives_.front());
    receives_.pop_front();
    return Verdict::kTake;
  }
  char* payload() noexcept override { return current_.data(); }
  void end(const FrameHeader& header) noexcept override {
    frames.push_back(header);
    payloads.push_back(current_.substr(0, header.length));
  }
  Room upcoming(unsigned n) noexcept override {
    if (n >= receives_.size()) return {nullptr, 0};
    return {receives_[n].data(), receives_[n].size()};
  }

  std::vector<FrameHeader> frames;
  std::vector<std::string> payloads;

 private:
  // A string that is moved keeps its bytes where they are, being too long to lie within it.
  std::deque<std::string> receives_;
  std::string current_;
};

class InletTest : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    out_.reset(ends[0]);
    in_.reset(ends[1]);
  }

  static std::string frame(const FrameHeader& header, const std::string& payload) {
    std::string bytes(FrameHeader::kSize, '\0');
    encode(header, bytes.data());
    return bytes + payload;
  }
  static FrameHeader header_of(Opcode opcode, size_t length) {
    FrameHeader header;
    header.opcode = opcode;
    header.length = static_cast<uint32_t>(length);
    return header;
  }
  void write(const std::string& bytes) {
    ASSERT_EQ(::write(out_.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  Inlet::Result read() {
    Inlet::Result result;
    while ((result = inlet_.read(in_.get(), sink_)) == Inlet::Result::kMore) {
    }
    return result;
  }

  OwnFd out_;
  OwnFd in_;
  Inlet inlet_;
  Collector sink_;
};

TEST_F(InletTest, PutsFramesIntoReceivesInTheirOrder) {
  for (int i = 0; i < 3; ++i) sink_.post();
  write(frame(header_of(Opcode::kSend, 5), "first") +
        frame(header_of(Opcode::kAcknowledge, 0), "") +
        frame(header_of(Opcode::kSendImmediate, 0), "") +
        frame(header_of(Opcode::kSend, 6), "second"));
  EXPECT_EQ(read(), Inlet::Result::kDrained);
  EXPECT_EQ(sink_.payloads, (std::vector<std::string>{"first", "", "", "second"}));
}

// Any number at once behind the rest of one: fewer than a read has room for, as many, and more.
TEST_F(InletTest, TakesManyEqualFramesBehindHalfOfOne) {
  constexpr size_t kLength = 1000;
  constexpr size_t kHalf = FrameHeader::kSize + kLength / 2;
  std::vector<std::string> sent;
  std::string bytes;
  for (size_t many = 1; many < 20; ++many) {
    // Each time a half is left, so that a read begins with the other one.
    for (int time = 0; time < 3; ++time) {
      for (size_t i = 0; i < many; ++i) {
        sink_.post();
        sent.emplace_back(kLength, static_cast<char>('A' + sent.size() % 50));
        bytes += frame(header_of(Opcode::kSend, kLength), sent.back());
      }
      const size_t part = bytes.size() - kHalf;
      write(bytes.substr(0, part));
      bytes.erase(0, part);
      ASSERT_EQ(read(), Inlet::Result::kDrained) << many << " frames";
    }
  }
  write(bytes);
  EXPECT_EQ(read(), Inlet::Result::kDrained);
  EXPECT_EQ(sink_.payloads, sent);
}

TEST_F(InletTest, StallsWithoutAReceiveAndGoesOnWithOne) {
  write(frame(header_of(Opcode::kSend, 4), "wait") + frame(header_of(Opcode::kSend, 4), "more"));
  EXPECT_EQ(read(), Inlet::Result::kStalled);
  EXPECT_EQ(read(), Inlet::Result::kStalled);
  sink_.post();
  EXPECT_EQ(read(), Inlet::Result::kStalled);
  EXPECT_EQ(sink_.payloads, std::vector<std::string>{"wait"});
  sink_.post();
  EXPECT_EQ(read(), Inlet::Result::kDrained);
  EXPECT_EQ(sink_.payloads.back(), "more");
}

TEST_F(InletTest, RefusesWhatIsNoFrame) {
  sink_.post();
  for (const std::string& bytes : {std::string(16, '\0'), std::string(16, '\xff'),
                                   frame(header_of(static_cast<Opcode>(8), 0), ""),
                                   frame(header_of(Opcode::kWrite, 4), "data"),
                                   frame(header_of(Opcode::kSend, kReceiveBytes + 1), "long")}) {
    Inlet inlet;
    Collector sink;
    sink.post();
    EXPECT_EQ(inlet.feed(bytes.data(), bytes.size(), sink), Inlet::Result::kBroken);
    EXPECT_EQ(inlet.read(in_.get(), sink), Inlet::Result::kBroken) << "and stays so";
  }
}

TEST_F(InletTest, TellsTheEndAndErrors) {
  out_.reset();
  EXPECT_EQ(read(), Inlet::Result::kEnd);
  in_.reset();
  EXPECT_EQ(read(), Inlet::Result::kError);
  EXPECT_EQ(inlet_.error(), EBADF);
}

// Sizes that stay the same for a while, so that reads have room for many frames, and then change.
TEST_F(InletTest, SurvivesEveryCut) {
  std::mt19937 random(7);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  for (int round = 0; round < 200; ++round) {
    Collector sink;
    Inlet inlet;
    std::string stream;
    std::vector<std::string> payloads;
    size_t size = below(200);
    for (int i = 0; i < 60; ++i) {
      if (below(8) == 0) size = below(4) == 0 ? below(kReceiveBytes) : below(200);
      if (below(10) == 0) {
        stream += frame(header_of(Opcode::kAcknowledge, 0), "");
        payloads.emplace_back();
        continue;
      }
      std::string payload(size, '\0');
      for (char& c : payload) c = static_cast<char>(random());
      stream += frame(header_of(Opcode::kSend, size), payload);
      payloads.push_back(payload);
    }
    for (size_t at = 0; at < stream.size() || sink.payloads.size() < payloads.size();) {
      const size_t part = std::min(stream.size() - at, below(10) == 0 ? 1 : below(20'000));
      write(stream.substr(at, part));
      at += part;
      while (below(3) != 0) sink.post();
      for (size_t reads = below(4); reads > 0; --reads) inlet.read(in_.get(), sink);
    }
    EXPECT_EQ(sink.payloads, payloads);
  }
}

}  // namespace
}  // namespace sio::internal::provider::soft
