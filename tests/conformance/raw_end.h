// SPDX-License-Identifier: BSD-2-Clause
//
// One end of a connection on bare work requests, that keeps to no protocol: what a hostile peer can
// do. It stands on the seam, so that it is hostile to either provider.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "conformance/support.h"
#include "provider/provider.h"

namespace sio::test {

using Bytes = std::vector<std::byte>;

// How a connect ended.
struct RawAnswer {
  bool established;
  Bytes data;  // private data of the answer
};

class RawEnd {
 public:
  static constexpr uint32_t kReceives = 16;

  // Connects with this private data, and posts so many receives; takes note of the answer after
  // the last.
  static RawEnd dial(
      const Address& peer, const Bytes& greeting, RawAnswer& answer, uint32_t receives = kReceives,
      const std::function<void()>& before_answering = [] {});

  struct Frame {
    std::optional<uint32_t> immediate;  // as on the wire, in network byte order
    Bytes payload;
    bool write = false;  // an RDMA WRITE, of nothing to nowhere
    bool solicited = true;
    // Bytes of it that the device can read, if that is not all: it stops when it gets there.
    std::optional<uint32_t> readable{};
  };
  void post(const Frame& frame);

  // Until all that was posted is done with, or the connection has ended: true if it has.
  bool await_end(milliseconds limit);
  // SENDs that were acknowledged.
  uint32_t acknowledged() const { return acknowledged_; }

 private:
  friend class RawListener;

  static constexpr uint32_t kSends = 512;
  static constexpr size_t kReceiveBytes = 8192;
  static constexpr size_t kSendBytes = 131'072;

  explicit RawEnd(std::unique_ptr<internal::provider::Endpoint> endpoint)
      : endpoint_(std::move(endpoint)) {}
  void make_queue_pair(uint32_t receives);
  void poll_completions();

  // They go in the opposite order.
  std::unique_ptr<internal::provider::Endpoint> endpoint_;
  std::vector<char> memory_;
  std::unique_ptr<internal::provider::MemoryRegion> region_;
  std::unique_ptr<internal::provider::CompletionChannel> channel_;
  std::unique_ptr<internal::provider::CompletionQueue> queue_;
  std::unique_ptr<internal::provider::QueuePair> pair_;
  size_t used_ = 0;  // of the memory for sends
  uint32_t acknowledged_ = 0;
  bool failed_ = false;
};

// Answers one connection in its own way.
class RawListener {
 public:
  explicit RawListener(const Address& address);
  uint16_t port() const;
  // Takes the connection that comes, and greets it so; or rejects it with this.
  RawEnd accept(const Bytes& greeting);
  void reject(const Bytes& reason);

 private:
  std::unique_ptr<internal::provider::Endpoint> endpoint_;
};

}  // namespace sio::test
