// SPDX-License-Identifier: BSD-2-Clause
//
// One end of a connection on bare verbs, that keeps to no protocol: what a hostile peer can do.
#pragma once

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "conformance/support.h"

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

  // Connects with this private data, and posts so many receives.
  static RawEnd dial(const Address& peer, const Bytes& greeting, RawAnswer& answer,
                     uint32_t receives = kReceives);

  RawEnd(RawEnd&&) = default;

  struct Frame {
    std::optional<uint32_t> immediate;  // as on the wire, in network byte order
    Bytes payload;
    bool write = false;  // an RDMA WRITE, of nothing to nowhere
  };
  void post(const Frame& frame);

  // Until all that was posted is done with, or the connection has ended: true if it has.
  bool await_end(milliseconds limit);
  // SENDs that were acknowledged.
  uint32_t acknowledged() const { return acknowledged_; }

 private:
  friend class RawListener;
  template <typename T>
  using Owner = std::unique_ptr<T, int (*)(T*)>;

  static constexpr uint32_t kSends = 512;
  static constexpr size_t kReceiveBytes = 8192;
  static constexpr size_t kSendBytes = 131'072;

  RawEnd();
  void adopt(rdma_cm_id* id);
  void make_queue_pair(uint32_t receives);
  void poll_completions();
  rdma_conn_param parameters(const Bytes& greeting) const;

  struct EventChannelEnd {
    void operator()(rdma_event_channel* channel) const { rdma_destroy_event_channel(channel); }
  };
  struct IdEnd {
    void operator()(rdma_cm_id* id) const {
      if (id->qp != nullptr) rdma_destroy_qp(id);
      rdma_destroy_id(id);
    }
  };

  std::unique_ptr<rdma_event_channel, EventChannelEnd> events_;
  Owner<ibv_pd> domain_{nullptr, ibv_dealloc_pd};
  std::vector<char> memory_;
  Owner<ibv_mr> region_{nullptr, ibv_dereg_mr};
  Owner<ibv_cq> queue_{nullptr, ibv_destroy_cq};
  std::unique_ptr<rdma_cm_id, IdEnd> id_;
  size_t used_ = 0;      // of the memory for sends
  uint32_t posted_ = 0;  // sends
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
  rdma_cm_id* await_request();

  RawEnd end_;  // its id listens until a connection comes
};

}  // namespace sio::test
