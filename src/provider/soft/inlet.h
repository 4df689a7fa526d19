// SPDX-License-Identifier: BSD-2-Clause
//
// From the bytes of a TCP stream to frames in posted receives. The kernel copies payload straight
// to where it belongs: a read has room for a header, for the payload that is expected after it in
// the next receive, for the header after that and so on. What is expected is that a frame is as
// long as the last one. Where that was wrong bytes are moved once more.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <vector>

#include "provider/soft/frame.h"

namespace sio::internal::provider::soft {

// What becomes of frames.
class FrameSink {
 public:
  enum class Verdict : uint8_t {
    kTake,      // payload goes to where payload() says
    kNotReady,  // no receive is posted: ask again later
    kBroken,    // nothing more is to be read
  };
  struct Room {
    char* data;
    size_t size;
  };

  virtual ~FrameSink() = default;
  // A whole header has come.
  virtual Verdict begin(const FrameHeader& header) noexcept = 0;
  // Where the payload of the frame that has begun goes: room for all of it.
  virtual char* payload() noexcept = 0;
  // A frame has come whole.
  virtual void end(const FrameHeader& header) noexcept = 0;
  // Where the n-th message from now will go, if that is known; else nothing.
  virtual Room upcoming(unsigned n) noexcept = 0;
};

class Inlet {
 public:
  Inlet() { surplus_.reserve(kMostSurplus); }

  enum class Result : uint8_t {
    kMore,     // there may be more to read
    kDrained,  // there is nothing more now
    kStalled,  // no receive is posted for what came
    kBroken,
    kEnd,    // the peer sends no more
    kError,  // error() says what
  };

  // One read; or, if the last one stalled, what is left of it. Nothing that was read is left behind
  // but when it stalls.
  Result read(int fd, FrameSink& sink) noexcept;
  // As if these bytes had been read.
  Result feed(const char* bytes, size_t n, FrameSink& sink) noexcept;

  // Nothing more is to be read.
  void abandon() noexcept {
    in_payload_ = false;
    broken_ = true;
  }

  // The payload of a message has come in part.
  bool receiving() const noexcept { return in_payload_; }
  int error() const noexcept { return error_; }

 private:
  static constexpr unsigned kMostAhead = 8;  // frames that one read has room for
  static constexpr size_t kMostPieces = 2 * kMostAhead + 2;
  // Bytes laid out where it is only expected that they belong: what was wrong has room elsewhere,
  // which is asked for once, and touched when it is needed.
  static constexpr size_t kMostSurplus = size_t{256} << 10;

  // A piece of memory that a read fills.
  struct Piece {
    char* data;
    size_t size;
    bool payload;
  };
  // All of them, in the order in which they are filled.
  struct Layout {
    std::array<Piece, kMostPieces> pieces;
    size_t count = 0;
    size_t total = 0;
    void add(char* data, size_t size, bool payload) noexcept;
  };

  Result nothing_came(ssize_t n) noexcept;
  Layout lay_out(FrameSink& sink) noexcept;
  void take(const Layout& layout, size_t n, FrameSink& sink) noexcept;
  void keep_surplus(const Layout& layout, size_t piece, size_t skip, size_t n) noexcept;
  Result resume(FrameSink& sink) noexcept;
  size_t absorb(const char* bytes, size_t n, FrameSink& sink) noexcept;
  void header_came(FrameSink& sink) noexcept;
  void begin_frame(FrameSink& sink) noexcept;
  void end_frame(FrameSink& sink) noexcept;
  size_t payload_left() const noexcept { return header_.length - payload_bytes_; }
  bool halted() const noexcept { return stalled_ || broken_; }

  FrameHeader header_;
  std::array<std::array<char, FrameHeader::kSize>, kMostAhead + 1> headers_;  // the first: the next
  size_t header_bytes_ = 0;   // of the next header that have come
  size_t payload_bytes_ = 0;  // of the payload that have come
  bool in_payload_ = false;
  bool stalled_ = false;  // a header has come, and waits for a receive
  bool broken_ = false;
  int error_ = 0;
  size_t expected_ = 0;  // bytes of payload
  unsigned ahead_ =
      1;  // frames to lay out: as many as the last read brought, and more if it was full
  unsigned brought_ = 0;  // as expected, by the read at hand
  std::vector<char> surplus_;
  size_t surplus_taken_ = 0;
};

}  // namespace sio::internal::provider::soft
