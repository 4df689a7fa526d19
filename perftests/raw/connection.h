// SPDX-License-Identifier: BSD-2-Clause
//
// Set-up of the baseline's connections with librdmacm.
#pragma once

#include <rdma/rdma_cma.h>

#include <memory>
#include <optional>
#include <thread>

#include "parameters.h"
#include "peer.h"

namespace sio_perf {

struct CmDeleter {
  void operator()(rdma_event_channel* channel) const { rdma_destroy_event_channel(channel); }
  void operator()(rdma_cm_id* id) const { rdma_destroy_id(id); }
};
using CmChannel = std::unique_ptr<rdma_event_channel, CmDeleter>;
using CmId = std::unique_ptr<rdma_cm_id, CmDeleter>;

// One id on a channel of its own; connecting it is separate from making its queue pair.
class RawConnection {
 public:
  explicit RawConnection(const Address& address);  // the address and the route are resolved
  explicit RawConnection(CmId request);            // of a listener's event
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;
  ~RawConnection() { end(); }

  rdma_cm_id* id() const { return id_.get(); }

  void connect(const Parameters& parameters);
  void accept();
  // Disconnects. From then on the queue pair is not touched: it may be destroyed.
  void end();

 private:
  void await(rdma_cm_event_type wanted, int timeout_ms, const char* remedy);
  void watch();

  CmChannel channel_;
  CmId id_;
  // Makes the queue pair fail when the other end has gone: the loops then see flushed receives,
  // and need not look at the channel.
  std::thread watcher_;
  int end_watch_ = -1;  // eventfd
};

// A request without the parameters of a client is rejected.
class RawListener {
 public:
  explicit RawListener(const Address& address);

  struct Request {
    CmId id;
    Parameters parameters;
  };
  Request wait();  // until a signal

 private:
  std::optional<Request> take();

  CmChannel channel_;
  CmId id_;
};

}  // namespace sio_perf
