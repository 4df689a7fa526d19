// SPDX-License-Identifier: BSD-2-Clause
//
// The bytes of a connection of the soft provider, cut in two ways: what is made of them must not
// depend on the cuts, and nothing may be written but into receives.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "provider/soft/greeting.h"
#include "provider/soft/inlet.h"

using namespace sio::internal::provider::soft;

namespace {

void must(bool holds) {
  if (!holds) std::abort();
}

// Receives of a few sizes, each an allocation of its own.
class Sink final : public FrameSink {
 public:
  Verdict begin(const FrameHeader& header) noexcept override {
    if (!takes_receive(header.opcode)) return Verdict::kTake;
    if (next_ == receives_.size() || header.length > receives_[next_].size())
      return Verdict::kBroken;
    current_ = next_++;
    return Verdict::kTake;
  }
  char* payload() noexcept override { return receives_[current_].data(); }
  void end(const FrameHeader& header) noexcept override {
    log += static_cast<char>(header.opcode);
    if (takes_receive(header.opcode)) log.append(receives_[current_].data(), header.length);
  }
  Room upcoming(unsigned n) noexcept override {
    if (next_ + n >= receives_.size()) return {nullptr, 0};
    return {receives_[next_ + n].data(), receives_[next_ + n].size()};
  }

  std::string log;

 private:
  static std::vector<std::vector<char>> make_receives() {
    std::vector<std::vector<char>> receives;
    for (int i = 0; i < 12; ++i) receives.emplace_back(i % 3 == 0 ? 24 : 64);
    return receives;
  }
  std::vector<std::vector<char>> receives_ = make_receives();
  size_t next_ = 0;
  size_t current_ = 0;
};

class Pipe {
 public:
  Pipe() { must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_.data()) == 0); }
  void write(const uint8_t* bytes, size_t n) {
    must(::write(ends_[0], bytes, n) == static_cast<ssize_t>(n));
  }
  void empty() {
    char bytes[4096];
    while (::read(ends_[1], bytes, sizeof bytes) > 0) {
    }
  }
  int fd() const { return ends_[1]; }

 private:
  std::array<int, 2> ends_;
};

void try_greeting(const uint8_t* bytes, size_t size) {
  if (size < Greeting::kSize) return;
  Greeting greeting;
  if (!decode_greeting(reinterpret_cast<const char*>(bytes), greeting)) return;
  must(greeting.data_size <= Greeting::kMostData);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static Pipe pipe;
  constexpr size_t kMost = 2048;
  if (size < 2 || size > kMost) return 0;
  const size_t step = 1 + bytes[0];
  ++bytes;
  --size;
  try_greeting(bytes, size);
  Sink whole;
  Inlet at_once;
  at_once.feed(reinterpret_cast<const char*>(bytes), size, whole);
  Sink parts;
  Inlet in_steps;
  for (size_t at = 0; at < size; at += step) {
    pipe.write(bytes + at, std::min(step, size - at));
    Inlet::Result result;
    while ((result = in_steps.read(pipe.fd(), parts)) == Inlet::Result::kMore) {
    }
    if (result == Inlet::Result::kBroken) break;
  }
  pipe.empty();
  must(whole.log == parts.log);
  return 0;
}
