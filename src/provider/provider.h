// SPDX-License-Identifier: BSD-2-Clause
//
// The seam: all that the library wants of a transport. Work requests and completions are those
// of verbs. A provider implements these classes; everything above works on any of them.
//
// Threads: objects of one completion channel (its queues and the queue pairs on them) are used
// by one thread at a time (the caller holds the event channel's lock). Endpoints likewise.
// ConnectionManager::next_event is called by the control thread alone.
//
// Lifetime, enforced by the callers' member order: queue pair before completion queue before
// completion channel before device; an endpoint's queue pair before the endpoint.
#pragma once

#include <infiniband/verbs.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace sio::internal::provider {

class MemoryRegion {
 public:
  virtual ~MemoryRegion() = default;
  virtual uint32_t lkey() const noexcept = 0;
};

class CompletionQueue {
 public:
  virtual ~CompletionQueue() = default;
  virtual uint32_t capacity() const noexcept = 0;
  // Up to n completions; the count, or -errno.
  virtual int poll(int n, ibv_wc* wc) noexcept = 0;
  // The same for whoever does it for each message: the device's own function, where there is one,
  // with nothing between. The count, or negative.
  int poll_directly(int n, ibv_wc* wc) noexcept { return poll_(polled_, n, wc); }
  // Asks for one notification on the completion channel at the next completion (solicited_only:
  // at the next solicited or failed receive). 0 or -errno.
  virtual int arm(bool solicited_only) noexcept = 0;
  // Makes it larger; it stays armed if it is, and what is in it stays. 0, or -errno and it is as it
  // was.
  virtual int resize(uint32_t entries) noexcept;

 protected:
  void poll_directly_by(int (*poll)(ibv_cq*, int, ibv_wc*), ibv_cq* queue) noexcept {
    poll_ = poll;
    polled_ = queue;
  }

 private:
  static int poll_virtually(ibv_cq* self, int n, ibv_wc* wc) noexcept {
    return reinterpret_cast<CompletionQueue*>(self)->poll(n, wc);
  }

  int (*poll_)(ibv_cq*, int, ibv_wc*) = &poll_virtually;
  ibv_cq* polled_ = reinterpret_cast<ibv_cq*>(this);
};

class CompletionChannel {
 public:
  virtual ~CompletionChannel() = default;
  // Readable while a notification is pending.
  virtual int fd() const noexcept = 0;
  // Takes at most `most` pending notifications without blocking. False: none comes any more, though
  // fd() may stay readable, for the device has gone.
  virtual bool take_notifications(unsigned most) noexcept = 0;
  virtual std::unique_ptr<CompletionQueue> create_queue(uint32_t entries) = 0;
};

// Receives that several reliable queue pairs of one device take from. Its calls may be made by any
// thread.
class SharedReceiveQueue {
 public:
  virtual ~SharedReceiveQueue() = default;
  virtual uint32_t capacity() const noexcept = 0;
  // As QueuePair::post_recv.
  virtual int post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept = 0;
};

struct DeviceLimits {
  uint32_t max_cq_entries;
  uint32_t max_qp_wr;
  uint32_t max_sge;
};

// Where a device meets the network.
struct PortInfo {
  std::string device;
  uint32_t port = 0;
  uint32_t gid_index = 0;
  std::string gid;
  uint32_t mtu = 0;  // bytes
};

class Device {
 public:
  virtual ~Device() = default;
  virtual const std::string& name() const noexcept = 0;
  virtual unsigned index() const noexcept = 0;  // of the area's lkeys
  virtual const DeviceLimits& limits() const noexcept = 0;
  // For local access only; not `writable`: for sending from.
  virtual std::unique_ptr<MemoryRegion> register_memory(void* base, size_t size, bool writable) = 0;
  std::unique_ptr<MemoryRegion> register_memory(void* base, size_t size) {
    return register_memory(base, size, true);
  }
  virtual std::unique_ptr<CompletionChannel> create_completion_channel() = 0;
  virtual std::unique_ptr<SharedReceiveQueue> create_shared_receive_queue(uint32_t receives) = 0;
};

struct QueueSizes {
  uint32_t send_wr = 0;
  uint32_t recv_wr = 0;
  uint32_t send_sge = 1;
  uint32_t inline_bytes = 0;                  // wished for
  SharedReceiveQueue* shared_recv = nullptr;  // in place of receives of its own
};

// Where datagrams go: what wr.ud of a work request wants. Lives as long as requests that name it.
class Destination {
 public:
  virtual ~Destination() = default;
  virtual ibv_ah* handle() const noexcept = 0;
  virtual uint32_t queue_pair() const noexcept = 0;
  virtual uint32_t key() const noexcept = 0;
};

// Reliable connected on an endpoint for connections, unreliable datagram on one for datagrams. The
// first kGrhBytes of the receive of a datagram are those of ibv_grh, laid out as RoCE v2 does: an
// IPv6 header, or 20 bytes whose first half byte is not 6 and an IPv4 header.
class QueuePair {
 public:
  static constexpr uint32_t kGrhBytes = 40;

  virtual ~QueuePair() = default;
  virtual uint32_t number() const noexcept = 0;
  virtual uint32_t peer_number() const noexcept = 0;  // 0 before the connection stands
  virtual uint32_t max_inline() const noexcept = 0;   // granted
  virtual uint32_t max_send_sge() const noexcept = 0;
  // A whole chain at once. 0, or -errno and *bad is the first that was not taken.
  virtual int post_send(ibv_send_wr* chain, ibv_send_wr** bad) noexcept = 0;
  virtual int post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept = 0;
  // post_send() as CompletionQueue::poll_directly(): 0, or an errno, which some devices negate, and
  // *bad.
  int post_send_directly(ibv_send_wr* chain, ibv_send_wr** bad) noexcept {
    return post_send_(poster_, chain, bad);
  }
  // Into the error state: what is posted is flushed.
  virtual void fail() noexcept = 0;

  // One for datagrams gets what is sent to a group, of which `group` was joined to receive (see
  // Endpoint::join) and stays so meanwhile; or no longer gets it, which comes before its end. What
  // it sends there itself may come back, or not. 0 or -errno.
  virtual int attach(const Destination& group) noexcept;
  virtual int detach(const Destination& group) noexcept;

 protected:
  void post_directly_by(int (*post_send)(ibv_qp*, ibv_send_wr*, ibv_send_wr**),
                        ibv_qp* pair) noexcept {
    post_send_ = post_send;
    poster_ = pair;
  }

 private:
  static int post_virtually(ibv_qp* self, ibv_send_wr* chain, ibv_send_wr** bad) noexcept {
    return -reinterpret_cast<QueuePair*>(self)->post_send(chain, bad);
  }

  int (*post_send_)(ibv_qp*, ibv_send_wr*, ibv_send_wr**) = &post_virtually;
  ibv_qp* poster_ = reinterpret_cast<ibv_qp*>(this);
};

// A second queue pair beside that of a connection, on the same way to the same peer: for what has
// to have receives of its own. What the peer must know of it goes over the first. It goes before
// the connection's.
class SecondQueuePair : public QueuePair {
 public:
  // Of the first packet that it sends.
  virtual uint32_t first_sequence() const noexcept = 0;
  // Its peer's number and first sequence: from here on receives can be posted, and sends too. 0 or
  // -errno.
  virtual int connect(uint32_t peer_number, uint32_t peer_sequence) noexcept = 0;
};

// One end of a connection in the making, a listener, or the CM's part of a live connection.
class Endpoint {
 public:
  virtual ~Endpoint() = default;

  // Never used twice in a process: events name their endpoint by it, since the endpoint may have
  // been destroyed by the time that an event is looked at.
  virtual uint64_t serial() const noexcept = 0;

  // All of these: 0 or -errno. Events tell how those that take time went on.
  virtual int bind(const sockaddr* address, bool reuse) noexcept = 0;
  virtual int listen(int backlog) noexcept = 0;
  virtual int resolve(const sockaddr* peer, int timeout_ms) noexcept = 0;  // -> kResolved
  virtual int connect(std::span<const std::byte> data) noexcept = 0;       // -> kEstablished
  virtual int accept(std::span<const std::byte> data) noexcept = 0;        // -> kEstablished
  virtual int reject(std::span<const std::byte> data) noexcept = 0;
  virtual int disconnect() noexcept = 0;  // -> kDisconnected at both ends
  // An endpoint for datagrams: connect() asks who is at the peer's address, and kEstablished brings
  // the destination. listen() is what makes its own queue pair be found, with no event. There is no
  // private data, and neither accept, reject nor disconnect.

  // An endpoint for datagrams that is bound, and does nothing else, joins a multicast group at its
  // address: kEstablished brings the destination to send to. `receive`: for queue pairs that are
  // to be attached to it, too. It is a member until it goes. The port counts for nothing.
  virtual int join(const sockaddr* group, bool receive) noexcept;

  // Known once bound; all zero (AF_UNSPEC) before.
  virtual sockaddr_storage local_address() const noexcept = 0;
  virtual sockaddr_storage peer_address() const noexcept = 0;

  // After kResolved and for an incoming connection.
  virtual Device* device() const noexcept = 0;
  virtual PortInfo port_info() const = 0;
  virtual std::unique_ptr<QueuePair> create_queue_pair(CompletionQueue& queue,
                                                       const QueueSizes& sizes) = 0;
  // Of a connection that stands. The first one of it, on the same completion channel. Throws.
  virtual std::unique_ptr<SecondQueuePair> create_second_pair(CompletionQueue& queue,
                                                              const QueueSizes& sizes) = 0;
  // Where a datagram came from that its queue pair received (`grh`: the first bytes of the
  // receive). Throws.
  virtual std::unique_ptr<Destination> source_of(const ibv_wc& wc, const void* grh) = 0;
};

inline int CompletionQueue::resize(uint32_t) noexcept { return -EOPNOTSUPP; }
inline int QueuePair::attach(const Destination&) noexcept { return -EOPNOTSUPP; }
inline int QueuePair::detach(const Destination&) noexcept { return -EOPNOTSUPP; }
inline int Endpoint::join(const sockaddr*, bool) noexcept { return -EOPNOTSUPP; }

struct ConnectionEvent {
  enum class Kind : uint8_t {
    kResolved,      // the way to the peer is known: device() is
    kRequest,       // on a listener: `incoming` wants to connect
    kEstablished,   // data: the peer's answer (at the end that connects); or destination
    kRefused,       // data: the peer's reason, if it gave one
    kFailed,        // error: an errno
    kDisconnected,  // the peer, or we, disconnected
    kDeviceGone,
  };
  Kind kind{};
  uint64_t endpoint = 0;  // its serial
  std::unique_ptr<Endpoint> incoming{};
  int error = 0;
  std::vector<std::byte> data{};
  std::unique_ptr<Destination> destination{};
};

class ConnectionManager {
 public:
  virtual ~ConnectionManager() = default;
  virtual int fd() const noexcept = 0;  // readable when an event waits
  // The next event; false: none. Never blocks.
  virtual bool next_event(ConnectionEvent& event) = 0;
  virtual std::unique_ptr<Endpoint> create_endpoint() = 0;
  virtual std::unique_ptr<Endpoint> create_datagram_endpoint() = 0;
};

class Provider {
 public:
  virtual ~Provider() = default;
  virtual const char* name() const noexcept = 0;
  virtual ConnectionManager& connections() noexcept = 0;
  // Those with an active port, in the order of their index.
  virtual std::span<Device* const> devices() noexcept = 0;
  // Readable when the devices have something to say (port up, fatal error): handle_async then
  // takes and logs it. False: as CompletionChannel::take_notifications.
  virtual std::vector<int> async_fds() const = 0;
  virtual bool handle_async(int fd) noexcept = 0;
};

// The one of this process, made at first use and never destroyed: what the setting `provider` says,
// `auto` being verbs if there is a device and soft if not. Throws ENODEV with the reason in the
// log.
Provider& instance();

// For tests: what makes the instance (a wrapper that injects faults, say). Before first use.
using Factory = std::unique_ptr<Provider> (*)();
void set_factory(Factory factory) noexcept;

std::unique_ptr<Provider> create_chosen_provider();
// Throws ENODEV when there is no device with an active port.
std::unique_ptr<Provider> create_verbs_provider();
std::unique_ptr<Provider> create_soft_provider();

}  // namespace sio::internal::provider
