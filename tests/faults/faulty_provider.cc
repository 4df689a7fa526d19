// SPDX-License-Identifier: BSD-2-Clause
#include "faults/faulty_provider.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace sio::test {
namespace {

using namespace internal::provider;

[[noreturn]] void strike(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

// Counts itself in the plan.
class Counted {
 public:
  explicit Counted(std::atomic<int>& count) : count_(count) { ++count_; }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::atomic<int>& count_;
};

class FaultyRegion final : public MemoryRegion {
 public:
  explicit FaultyRegion(std::unique_ptr<MemoryRegion> inner) : inner_(std::move(inner)) {}
  uint32_t lkey() const noexcept override { return inner_->lkey(); }

 private:
  Counted counted_{plan().regions};
  std::unique_ptr<MemoryRegion> inner_;
};

// A queue pair of which a completion may fail: then all that follow are flushed.
struct Spoilable {
  explicit Spoilable(QueuePair* of) : pair(of) {}

  QueuePair* const pair;
  bool spoilt = false;
  bool failed = false;         // told to
  std::vector<uint64_t> lost;  // work requests that nobody else knows of
};

// Withholds the completions of some queue pairs for a while. What is withheld is let go before the
// queue is armed: the second look finds it, so that nobody sleeps through it.
class FaultyQueue final : public CompletionQueue {
 public:
  explicit FaultyQueue(std::unique_ptr<CompletionQueue> inner) : inner_(std::move(inner)) {}

  CompletionQueue& inner() noexcept { return *inner_; }
  uint32_t capacity() const noexcept override { return inner_->capacity(); }
  int poll(int n, ibv_wc* wc) noexcept override;
  int arm(bool solicited_only) noexcept override {
    withheld_.clear();
    return inner_->arm(solicited_only);
  }
  void joins(Spoilable* pair) { pairs_.insert(pair); }
  void leaves(Spoilable* pair) { pairs_.erase(pair); }

 private:
  Spoilable* find(uint32_t number) noexcept;
  void spoil(ibv_wc& wc) noexcept;
  void flush_lost(Spoilable& pair);

  Counted counted_{plan().queues};
  std::unique_ptr<CompletionQueue> inner_;
  std::set<Spoilable*> pairs_;
  std::deque<ibv_wc> come_;                // from the queue inside
  std::map<uint32_t, uint32_t> withheld_;  // number of a queue pair: polls to go
};

class FaultyChannel final : public CompletionChannel {
 public:
  explicit FaultyChannel(std::unique_ptr<CompletionChannel> inner) : inner_(std::move(inner)) {}
  int fd() const noexcept override { return inner_->fd(); }
  void take_notifications(unsigned most) noexcept override { inner_->take_notifications(most); }
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
  int attach(const Destination& group) noexcept override { return inner_->attach(group); }
  int detach(const Destination& group) noexcept override { return inner_->detach(group); }

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

Spoilable* FaultyQueue::find(uint32_t number) noexcept {
  for (Spoilable* one : pairs_) {
    if (one->pair->number() == number) return one;
  }
  return nullptr;
}

void FaultyQueue::spoil(ibv_wc& wc) noexcept {
  Spoilable* pair = find(wc.qp_num);
  if (pair == nullptr || wc.status != IBV_WC_SUCCESS) return;
  Once& next = (wc.opcode & IBV_WC_RECV) != 0 ? plan().next_receive : plan().next_send;
  if (pair->spoilt) {
    wc.status = IBV_WC_WR_FLUSH_ERR;
  } else if (const int status = next.take()) {
    wc.status = static_cast<ibv_wc_status>(status);
    pair->spoilt = true;
    pair->pair->fail();
  } else if (plan().strikes(&Faults::status)) {
    constexpr std::array kStatuses = {
        IBV_WC_LOC_LEN_ERR,     IBV_WC_LOC_QP_OP_ERR,     IBV_WC_LOC_PROT_ERR,
        IBV_WC_WR_FLUSH_ERR,    IBV_WC_BAD_RESP_ERR,      IBV_WC_LOC_ACCESS_ERR,
        IBV_WC_REM_INV_REQ_ERR, IBV_WC_REM_ACCESS_ERR,    IBV_WC_REM_OP_ERR,
        IBV_WC_RETRY_EXC_ERR,   IBV_WC_RNR_RETRY_EXC_ERR, IBV_WC_REM_ABORT_ERR,
        IBV_WC_FATAL_ERR,       IBV_WC_RESP_TIMEOUT_ERR,  IBV_WC_GENERAL_ERR};
    wc.status = kStatuses[plan().below(kStatuses.size())];
    pair->spoilt = true;
    pair->pair->fail();
  }
}

// After what was posted before it.
void FaultyQueue::flush_lost(Spoilable& pair) {
  if (!pair.failed) return;
  for (const uint64_t id : std::exchange(pair.lost, {})) {
    ibv_wc wc{};
    wc.wr_id = id;
    wc.status = IBV_WC_WR_FLUSH_ERR;
    wc.qp_num = pair.pair->number();
    come_.push_back(wc);
  }
}

int FaultyQueue::poll(int n, ibv_wc* wc) noexcept {
  ibv_wc fresh[32];
  for (int more = 0; (more = inner_->poll(32, fresh)) > 0;)
    come_.insert(come_.end(), fresh, fresh + more);
  for (Spoilable* one : pairs_) flush_lost(*one);
  for (auto& [number, polls] : withheld_) polls -= polls > 0 ? 1 : 0;
  std::erase_if(withheld_, [](const auto& entry) { return entry.second == 0; });
  if (!come_.empty() && plan().strikes(&Faults::late)) {
    withheld_.emplace(come_[plan().below(static_cast<uint32_t>(come_.size()))].qp_num,
                      1 + plan().below(20));
  }
  int taken = 0;
  for (auto it = come_.begin(); it != come_.end() && taken < n;) {
    if (withheld_.contains(it->qp_num)) {
      ++it;
      continue;
    }
    wc[taken] = *it;
    spoil(wc[taken++]);
    it = come_.erase(it);
  }
  return taken;
}

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
    return inner_.create_shared_receive_queue(receives);
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
    return std::make_unique<FaultyPair<QueuePair>>(inner_->create_queue_pair(faulty.inner(), sizes),
                                                   faulty, *inner_);
  }
  std::unique_ptr<SecondQueuePair> create_second_pair(CompletionQueue& queue,
                                                      const QueueSizes& sizes) override {
    if (const int error = plan().next_second_pair.take()) strike(error, "a second queue pair");
    if (plan().strikes(&Faults::create)) strike(ENOMEM, "a second queue pair");
    auto& faulty = static_cast<FaultyQueue&>(queue);
    return std::make_unique<FaultySecondPair>(inner_->create_second_pair(faulty.inner(), sizes),
                                              faulty, *inner_);
  }
  std::unique_ptr<Destination> source_of(const ibv_wc& wc, const void* grh) override {
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
  void handle_async(int fd) noexcept override { inner_->handle_async(fd); }

 private:
  int fd() const noexcept override { return events_.get(); }
  bool next_event(ConnectionEvent& event) override {
    if (plan().take_event(event)) return true;
    if (!inner_->connections().next_event(event)) return false;
    if (event.incoming) event.incoming = wrap(std::move(event.incoming));
    return true;
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
};

}  // namespace

FaultPlan::FaultPlan()
    : wake_(internal::check_errno(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {}

void FaultPlan::begin(uint64_t seed, const Faults& faults) {
  const std::lock_guard lock(mutex_);
  random_.seed(seed);
  faults_ = faults;
}

bool FaultPlan::strikes(uint32_t Faults::*fault) {
  const std::lock_guard lock(mutex_);
  const uint32_t often = faults_.*fault;
  if (often == 0 || random_() % often != 0) return false;
  ++struck_;
  return true;
}

uint32_t FaultPlan::below(uint32_t n) {
  const std::lock_guard lock(mutex_);
  return static_cast<uint32_t>(random_() % n);
}

void FaultPlan::tell(Kind kind, int error) {
  const std::lock_guard lock(mutex_);
  ConnectionEvent event;
  event.kind = kind;
  event.endpoint = connecting_;
  event.error = error;
  told_.push_back(std::move(event));
  eventfd_write(wake_.get(), 1);
}

bool FaultPlan::take_event(ConnectionEvent& event) {
  const std::lock_guard lock(mutex_);
  eventfd_t any;
  if (told_.empty()) return eventfd_read(wake_.get(), &any), false;
  event = std::move(told_.front());
  told_.pop_front();
  return true;
}

std::string FaultPlan::left() const {
  std::string text;
  const auto count = [&](int number, const char* what) {
    if (number != 0) text += std::to_string(number) + ' ' + what + ", ";
  };
  count(pairs, "queue pairs");
  count(queues, "queues");
  count(channels, "channels");
  count(endpoints, "endpoints");
  count(regions, "registrations");
  return text;
}

FaultPlan& plan() {
  static auto* const one = new FaultPlan;
  return *one;
}

std::unique_ptr<Provider> create_faulty_soft_provider() {
  return std::make_unique<FaultyProvider>(create_soft_provider());
}

}  // namespace sio::test
