// SPDX-License-Identifier: BSD-2-Clause
//
// The send queue of a queue pair, and its way into a TCP stream: as many frames to a system call as
// there are, straight from where their payload lies.
#pragma once

#include <infiniband/verbs.h>
#include <sys/uio.h>

#include <array>
#include <cstdint>

#include "provider/soft/cyclic.h"
#include "provider/soft/frame.h"

namespace sio::internal::provider::soft {

class MemoryTable;

class Outlet {
 public:
  // A posted request.
  struct Send {
    uint64_t wr_id;
    ibv_wc_opcode opcode;
    bool signalled;
    bool inlined;
    bool second;  // of the second queue pair
    FrameHeader header;
    uint32_t entries;
    ibv_wc_status fate;  // what keeps it from going out, and all behind it
  };
  enum class Result : uint8_t {
    kAll,      // nothing is left to write
    kBlocked,  // the stream takes no more now
    kError,    // nor ever: error() says why
  };

  Outlet(const MemoryTable& memory, uint32_t capacity, uint32_t most_entries,
         uint32_t inline_bytes);

  // 0, -ENOMEM when the queue is full, -EINVAL for what the soft provider does not do.
  int post(const ibv_send_wr& wr, bool second) noexcept;
  // Room for so many requests more. Throws.
  void grow(uint32_t requests);

  // The requests that are not done: the oldest, and how many.
  const Send& oldest() const noexcept { return sends_[done_]; }
  uint32_t outstanding() const noexcept { return static_cast<uint32_t>(posted_ - done_); }
  void done() noexcept { ++done_; }
  // How many of them the peer has taken, by the count that its frames carry; more than written() is
  // a lie.
  uint32_t taken_by_peer(uint32_t count) const noexcept {
    return count - static_cast<uint32_t>(done_);
  }
  uint32_t written() const noexcept { return static_cast<uint32_t>(written_ - done_); }
  // What has become of the oldest one without the peer.
  ibv_wc_status fate() const noexcept {
    return outstanding() == 0 ? IBV_WC_SUCCESS : oldest().fate;
  }

  // One of them can not go out, though it is not the oldest.
  bool stopped() const noexcept {
    return written_ != posted_ && sends_[written_].fate != IBV_WC_SUCCESS;
  }

  // What goes out before the next request: a frame without payload.
  void announce(Opcode opcode, uint16_t status = 0, uint8_t flags = 0) noexcept;
  bool announcing() const noexcept { return control_left_ > 0 || announced_.opcode != Opcode{}; }

  // Writes what there is. `taken` goes with it: what this end has taken; `acknowledge`: even if in
  // a frame of its own.
  Result write(int fd, uint32_t taken, bool acknowledge) noexcept;
  // The count that was last written.
  uint32_t told() const noexcept { return told_; }
  bool blocked() const noexcept { return blocked_; }
  int error() const noexcept { return error_; }

 private:
  static constexpr size_t kMostPieces = 64;
  using Bytes = std::array<char, FrameHeader::kSize>;
  struct Pieces {
    iovec list[kMostPieces];
    size_t count = 0;
    size_t total = 0;
    size_t skip = 0;  // bytes that were written before
    void add(const void* data, size_t n) noexcept;
    ssize_t send(int fd) const noexcept;
  };

  void compose_control(uint32_t taken, bool acknowledge) noexcept;
  void collect(Pieces& pieces, uint32_t taken) noexcept;
  bool may_go(const Send& send, uint64_t index) const noexcept;
  void advance(size_t n) noexcept;

  const MemoryTable& memory_;
  uint32_t capacity_;
  const uint32_t most_entries_;
  const uint32_t inline_bytes_;
  Cyclic<Send> sends_;
  Cyclic<ibv_sge> lists_;
  Cyclic<char> heads_;    // each a header and room for what is inlined
  uint64_t done_ = 0;     // requests, ever
  uint64_t written_ = 0;  // whole
  uint64_t posted_ = 0;
  size_t offset_ = 0;  // bytes of the next one that are written
  FrameHeader announced_;
  Bytes control_;
  size_t control_left_ = 0;  // bytes of it to be written
  uint32_t told_ = 0;
  bool blocked_ = false;
  int error_ = 0;
};

}  // namespace sio::internal::provider::soft
