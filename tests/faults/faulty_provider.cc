// SPDX-License-Identifier: BSD-2-Clause
#include "faults/faulty_provider.h"

#include <sys/epoll.h>

#include <array>
#include <deque>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "faults/faulty_queue.h"

namespace sio::test {
namespace {

using namespace internal::provider;

[[noreturn]] void strike(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

class FaultyRegion final : public MemoryRegion {
 public:
  explicit FaultyRegion(std::unique_ptr<MemoryRegion> inner) : inner_(std::move(inner)) {}
  uint32_t lkey() const noexcept override { return inner_->lkey(); }

 private:
  Counted counted_{plan().regions};
  std::unique_ptr<MemoryRegion> inner_;
};

class FaultySharedReceives final : public SharedReceiveQueue {
 public:
  explicit FaultySharedReceives(std::unique_ptr<SharedReceiveQueue> inner)
      : inner_(std::move(inner)) {}
  SharedReceiveQueue& inner() noexcept { return *inner_; }
  uint32_t capacity() const noexcept override { return inner_->capacity(); }
  int post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept override {
    if (plan().strikes(&Faults::post_receive)) return *bad = chain, -ENOMEM;
    return inner_->post_recv(chain, bad);
  }

 private:
  Counted counted_{plan().shared};
  std::unique_ptr<SharedReceiveQueue> inner_;
};

// What the device inside is to make.
QueueSizes inside(QueueSizes sizes) {
  if (sizes.shared_recv != nullptr)
    sizes.shared_recv = &static_cast<FaultySharedReceives&>(*sizes.shared_recv).inner();
  return sizes;
}

class FaultyChannel final : public CompletionChannel {
 public:
  explicit FaultyChannel(std::unique_ptr<CompletionChannel> inner) : inner_(std::move(inner)) {}
  int fd() const noexcept override { return inner_->fd(); }
  bool take_notifications(unsigned most) noexcept override {
    return inner_->take_notifications(most);
  }
  std::unique_ptr<CompletionQueue> create_queue(uint32_t entries) override {
    if (plan().strikes(&Faults::create)) strike(ENOMEM, "a completion queue");
    return std::make_unique<FaultyQueue>(inner_->create_queue(entries));
  }

 private:
  Counted counted_{plan().channels};
  std::unique_ptr<CompletionChannel> inner_;
};

class FaultyEndpoint;

template <typename Kind>
class FaultyPair : public Kind {
 public:
  FaultyPair(std::unique_ptr<Kind> inner, FaultyQueue& queue, Endpoint& endpoint)
      : inner_(std::move(inner)), queue_(queue), endpoint_(endpoint) {
    queue_.joins(&spoilable_);
  }
  ~FaultyPair() override { queue_.leaves(&spoilable_); }

  uint32_t number() const noexcept override { return inner_->number(); }
  uint32_t peer_number() const noexcept override { return inner_->peer_number(); }
  uint32_t max_inline() const noexcept override { return inner_->max_inline(); }
  uint32_t max_send_sge() const noexcept override { return inner_->max_send_sge(); }
  int post_send(ibv_send_wr* chain, ibv_send_wr** bad) noexcept override {
    if (const int error = plan().next_post.take()) return *bad = chain, -error;
    if (plan().strikes(&Faults::post_send)) return *bad = chain, -ENOMEM;
    if (plan().strikes(&Faults::drop)) endpoint_.disconnect();
    if (plan().loses(endpoint_.serial())) return lose(chain);
    for (const ibv_send_wr* wr = chain; wr != nullptr; wr = wr->next) {
      if ((wr->send_flags & IBV_SEND_SIGNALED) != 0) ++plan().signalled;
    }
    return inner_->post_send(chain, bad);
  }
  int post_recv(ibv_recv_wr* chain, ibv_recv_wr** bad) noexcept override {
    if (plan().strikes(&Faults::post_receive)) return *bad = chain, -ENOMEM;
    return inner_->post_recv(chain, bad);
  }
  void fail() noexcept override {
    spoilable_.failed = true;
    inner_->fail();
  }
  int attach(const Destination& group) noexcept override {
    if (plan().strikes(&Faults::attach)) return -ENOMEM;
    const int error = inner_->attach(group);
    if (error == 0) ++plan().attached;
    return error;
  }
  int detach(const Destination& group) noexcept override {
    const int error = inner_->detach(group);
    if (error == 0) --plan().attached;
    return error;
  }

 protected:
  int lose(const ibv_send_wr* chain) {
    for (; chain != nullptr; chain = chain->next) spoilable_.lost.push_back(chain->wr_id);
    return 0;
  }

  Counted counted_{plan().pairs};
  std::unique_ptr<Kind> inner_;
  FaultyQueue& queue_;
  Endpoint& endpoint_;
  Spoilable spoilable_{this};
};

class FaultySecondPair final : public FaultyPair<SecondQueuePair> {
 public:
  using FaultyPair::FaultyPair;
  uint32_t first_sequence() const noexcept override { return inner_->first_sequence(); }
  int connect(uint32_t peer_number, uint32_t peer_sequence) noexcept override {
    return plan().strikes(&Faults::connect) ? -EIO : inner_->connect(peer_number, peer_sequence);
  }
};

class FaultyDevice final : public Device {
 public:
  explicit FaultyDevice(Device& inner) : inner_(inner) {}
  const std::string& name() const noexcept override { return inner_.name(); }
  unsigned index() const noexcept override { return inner_.index(); }
  const DeviceLimits& limits() const noexcept override { return inner_.limits(); }
  std::unique_ptr<MemoryRegion> register_memory(void* base, size_t size, bool writable) override {
    if (plan().strikes(&Faults::register_memory)) strike(ENOMEM, "memory");
    return std::make_unique<FaultyRegion>(inner_.register_memory(base, size, writable));
  }
  std::unique_ptr<CompletionChannel> create_completion_channel() override {
    if (plan().strikes(&Faults::create)) strike(ENOMEM, "a completion channel");
    return std::make_unique<FaultyChannel>(inner_.create_completion_channel());
  }
  std::unique_ptr<SharedReceiveQueue> create_shared_receive_queue(uint32_t receives) override {
    if (plan().strikes(&Faults::create)) strike(ENOMEM, "a shared receive queue");
    return std::make_unique<FaultySharedReceives>(inner_.create_shared_receive_queue(receives));
  }

 private:
  Device& inner_;
};

class FaultyEndpoint final : public Endpoint {
 public:
  FaultyEndpoint(std::unique_ptr<Endpoint> inner, Device& device)
      : inner_(std::move(inner)), device_(device) {}

  uint64_t serial() const noexcept override { return inner_->serial(); }
  int bind(const sockaddr* address, bool reuse) noexcept override {
    if (const int error = plan().next_address.take()) return -error;
    return fault() ? -EIO : inner_->bind(address, reuse);
  }
  int listen(int backlog) noexcept override {
    plan().connects(serial());
    return fault() ? -EIO : inner_->listen(backlog);
  }
  int resolve(const sockaddr* peer, int timeout_ms) noexcept override {
    if (const int error = plan().next_address.take()) return -error;
    return fault() ? -EIO : inner_->resolve(peer, timeout_ms);
  }
  int connect(std::span<const std::byte> data) noexcept override {
    plan().connects(serial());
    const int next = plan().next_connect.take();
    if (const int error = next != 0 ? next : plan().all_connects.load()) {
      plan().tell(ConnectionEvent::Kind::kFailed, error);
      return 0;
    }
    return fault() ? -EIO : inner_->connect(data);
  }
  int join(const sockaddr* group, bool receive) noexcept override {
    if (const int error = plan().next_address.take()) return -error;
    if (plan().next_join.take() != 0) return 0;
    return fault() ? -EIO : inner_->join(group, receive);
  }
  int accept(std::span<const std::byte> data) noexcept override {
    return fault() ? -EIO : inner_->accept(data);
  }
  int reject(std::span<const std::byte> data) noexcept override { return inner_->reject(data); }
  int disconnect() noexcept override { return inner_->disconnect(); }
  sockaddr_storage local_address() const noexcept override { return inner_->local_address(); }
  sockaddr_storage peer_address() const noexcept override { return inner_->peer_address(); }
  Device* device() const noexcept override {
    return inner_->device() == nullptr ? nullptr : &device_;
  }
  PortInfo port_info() const override { return inner_->port_info(); }
  std::unique_ptr<QueuePair> create_queue_pair(CompletionQueue& queue,
                                               const QueueSizes& sizes) override {
    if (plan().strikes(&Faults::create)) strike(ENOMEM, "a queue pair");
    auto& faulty = static_cast<FaultyQueue&>(queue);
    return std::make_unique<FaultyPair<QueuePair>>(
        inner_->create_queue_pair(faulty.inner(), inside(sizes)), faulty, *inner_);
  }
  std::unique_ptr<SecondQueuePair> create_second_pair(CompletionQueue& queue,
                                                      const QueueSizes& sizes) override {
    if (const int error = plan().next_second_pair.take()) strike(error, "a second queue pair");
    if (plan().strikes(&Faults::create)) strike(ENOMEM, "a second queue pair");
    auto& faulty = static_cast<FaultyQueue&>(queue);
    return std::make_unique<FaultySecondPair>(
        inner_->create_second_pair(faulty.inner(), inside(sizes)), faulty, *inner_);
  }
  std::unique_ptr<Destination> source_of(const ibv_wc& wc, const void* grh) override {
    if (plan().strikes(&Faults::create)) strike(ENOMEM, "a destination");
    return inner_->source_of(wc, grh);
  }

 private:
  static bool fault() { return plan().strikes(&Faults::connect); }

  Counted counted_{plan().endpoints};
  std::unique_ptr<Endpoint> inner_;
  Device& device_;
};

class FaultyProvider final : public Provider, private ConnectionManager {
 public:
  explicit FaultyProvider(std::unique_ptr<Provider> inner)
      : inner_(std::move(inner)),
        device_(*inner_->devices().front()),
        list_{&device_},
        events_(internal::check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {
    for (const int fd : {inner_->connections().fd(), plan().fd()}) {
      epoll_event event{};
      event.events = EPOLLIN;
      internal::check_errno(epoll_ctl(events_.get(), EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
    }
  }

  const char* name() const noexcept override { return inner_->name(); }
  ConnectionManager& connections() noexcept override { return *this; }
  std::span<Device* const> devices() noexcept override { return list_; }
  std::vector<int> async_fds() const override { return inner_->async_fds(); }
  bool handle_async(int fd) noexcept override { return inner_->handle_async(fd); }

 private:
  int fd() const noexcept override { return events_.get(); }
  bool next_event(ConnectionEvent& event) override {
    if (plan().take_event(event)) return true;
    if (take_late(event)) return true;
    while (inner_->connections().next_event(event)) {
      if (event.incoming) event.incoming = wrap(std::move(event.incoming));
      if (event.destination == nullptr) return true;
      if (plan().strikes(&Faults::no_answer)) continue;
      if (plan().strikes(&Faults::not_found)) {
        event.kind = ConnectionEvent::Kind::kFailed;
        event.error = EHOSTUNREACH;
        event.destination.reset();
      } else if (plan().strikes(&Faults::late_answer)) {
        late_.push_back({1 + plan().below(300), std::move(event)});
        plan().wake();
        event = ConnectionEvent();
        continue;
      }
      return true;
    }
    return false;
  }
  // An answer that has been withheld for long enough. While there are others the plan's descriptor
  // is readable, so that they are asked for again.
  bool take_late(ConnectionEvent& event) {
    for (auto one = late_.begin(); one != late_.end(); ++one) {
      if (--one->looks > 0) continue;
      event = std::move(one->event);
      late_.erase(one);
      return true;
    }
    if (!late_.empty()) plan().wake();
    return false;
  }
  std::unique_ptr<Endpoint> create_endpoint() override {
    return wrap(inner_->connections().create_endpoint());
  }
  std::unique_ptr<Endpoint> create_datagram_endpoint() override {
    return wrap(inner_->connections().create_datagram_endpoint());
  }
  std::unique_ptr<Endpoint> wrap(std::unique_ptr<Endpoint> endpoint) {
    return std::make_unique<FaultyEndpoint>(std::move(endpoint), device_);
  }

  std::unique_ptr<Provider> inner_;
  FaultyDevice device_;
  std::array<Device*, 1> list_;
  const internal::OwnFd events_;  // the other one's, and the plan's
  struct Late {
    uint32_t looks;  // to go
    ConnectionEvent event;
  };
  std::deque<Late> late_;
};

}  // namespace

std::unique_ptr<Provider> create_faulty_soft_provider() {
  return std::make_unique<FaultyProvider>(create_soft_provider());
}

}  // namespace sio::test
