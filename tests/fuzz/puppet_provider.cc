// SPDX-License-Identifier: BSD-2-Clause
#include "puppet_provider.h"

#include <arpa/inet.h>
#include <sanitizer/asan_interface.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <system_error>
#include <utility>

#include "base/fd.h"
#include "must.h"
#include "puppet_datagram.h"

namespace sio::test {

using namespace internal::provider;
using internal::OwnFd;

namespace {

// --------------------------------------------------------------------------- registered memory

struct Registered {
  uintptr_t base;
  size_t size;
};

std::map<uint32_t, Registered>& registered() {
  static auto* const by_key = new std::map<uint32_t, Registered>;
  return *by_key;
}

class PuppetRegion final : public MemoryRegion {
 public:
  PuppetRegion(void* base, size_t size) : base_(base), size_(size) {
    ++puppet().regions;
    registered()[key_] = {reinterpret_cast<uintptr_t>(base), size};
  }
  ~PuppetRegion() override {
    --puppet().regions;
    registered().erase(key_);
    ASAN_UNPOISON_MEMORY_REGION(base_, size_);
  }
  uint32_t lkey() const noexcept override { return key_; }

 private:
  static uint32_t next_key() {
    static uint32_t last = 0;
    return ++last == 0 ? ++last : last;  // 0 is none
  }
  void* const base_;
  const size_t size_;
  const uint32_t key_ = next_key();
};

// ---------------------------------------------------------------------------------- completions

class PuppetChannel final : public CompletionChannel {
 public:
  PuppetChannel() { ++puppet().channels; }
  ~PuppetChannel() override { --puppet().channels; }
  int fd() const noexcept override { return fd_.get(); }
  bool take_notifications(unsigned most) noexcept override {
    eventfd_t one;
    while (most-- > 0 && eventfd_read(fd_.get(), &one) == 0) continue;
    return true;
  }
  std::unique_ptr<CompletionQueue> create_queue(uint32_t entries) override;

 private:
  static void notify(void* channel) {
    MUST(eventfd_write(static_cast<PuppetChannel*>(channel)->fd_.get(), 1) == 0);
  }

  OwnFd fd_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE)};
};

std::unique_ptr<CompletionQueue> PuppetChannel::create_queue(uint32_t entries) {
  return std::make_unique<PuppetQueue>(notify, this, entries);
}

}  // namespace

void check_memory(const ibv_sge& sge) {
  const auto found = registered().find(sge.lkey);
  MUST(found != registered().end());
  const auto [base, size] = found->second;
  MUST(sge.addr >= base && sge.length <= size && sge.addr - base <= size - sge.length);
}

// ------------------------------------------------------------------------------- device, provider

namespace {

class PuppetDevice final : public Device {
 public:
  const std::string& name() const noexcept override { return name_; }
  unsigned index() const noexcept override { return 0; }
  const DeviceLimits& limits() const noexcept override { return limits_; }
  std::unique_ptr<MemoryRegion> register_memory(void* base, size_t size, bool) override {
    return std::make_unique<PuppetRegion>(base, size);
  }
  std::unique_ptr<CompletionChannel> create_completion_channel() override {
    return std::make_unique<PuppetChannel>();
  }
  std::unique_ptr<SharedReceiveQueue> create_shared_receive_queue(uint32_t receives) override {
    return std::make_unique<PuppetShared>(receives);
  }

 private:
  const std::string name_ = "puppet";
  const DeviceLimits limits_{4096, 16384, 32};
};

class PuppetProvider final : public Provider, private ConnectionManager {
 public:
  const char* name() const noexcept override { return "puppet"; }
  ConnectionManager& connections() noexcept override { return *this; }
  std::span<Device* const> devices() noexcept override { return list_; }
  std::vector<int> async_fds() const override { return {}; }
  bool handle_async(int) noexcept override { return false; }

  Device* device() noexcept { return &device_; }
  void tell(ConnectionEvent event) {
    events_.push_back(std::move(event));
    MUST(eventfd_write(fd_.get(), 1) == 0);
  }

 private:
  int fd() const noexcept override { return fd_.get(); }
  bool next_event(ConnectionEvent& event) override {
    eventfd_t count;
    [[maybe_unused]] const int result = eventfd_read(fd_.get(), &count);
    if (events_.empty()) return false;
    event = std::move(events_.front());
    events_.pop_front();
    return true;
  }
  std::unique_ptr<Endpoint> create_endpoint() override {
    return std::make_unique<PuppetEndpoint>(PuppetEndpoint::State::kIdle);
  }
  std::unique_ptr<Endpoint> create_datagram_endpoint() override {
    return std::make_unique<PuppetDatagramEndpoint>();
  }

  PuppetDevice device_;
  std::array<Device*, 1> list_{&device_};
  std::deque<ConnectionEvent> events_;
  OwnFd fd_{
      eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE)};  // readable while there are any
};

PuppetProvider& provider() {
  static auto* const one = new PuppetProvider;
  return *one;
}

}  // namespace

PuppetEndpoint* Puppet::youngest(PuppetEndpoint::State state) const {
  const auto found = std::find_if(endpoints.rbegin(), endpoints.rend(),
                                  [&](PuppetEndpoint* one) { return one->state == state; });
  return found == endpoints.rend() ? nullptr : *found;
}

uint64_t Puppet::next_serial() {
  static uint64_t last = 0;
  return ++last;
}

Device* puppet_device() { return provider().device(); }

void Puppet::tell(ConnectionEvent event) { provider().tell(std::move(event)); }

Puppet& puppet() {
  static auto* const one = new Puppet;
  return *one;
}

// ------------------------------------------------------------------------------------ endpoints

PuppetEndpoint::PuppetEndpoint(State first)
    : state(first), talk(puppet().talk), serial_(Puppet::next_serial()) {
  puppet().endpoints.push_back(this);
}

PuppetEndpoint::~PuppetEndpoint() {
  MUST(pair == nullptr);  // goes first
  std::erase(puppet().endpoints, this);
}

void PuppetEndpoint::we_say(std::span<const std::byte> data) const {
  internal::wire::Hello ours;
  MUST(internal::wire::decode_hello(data, ours) == internal::wire::HelloFault::kNone);
  MUST(pair != nullptr);
  pair->ledger().we_say(ours);
}

int PuppetEndpoint::connect(std::span<const std::byte> data) noexcept {
  if (state == State::kOver) return -EHOSTUNREACH;
  MUST(state == State::kResolved);
  we_say(data);
  return state = State::kConnecting, 0;
}

int PuppetEndpoint::accept(std::span<const std::byte> data) noexcept {
  if (state == State::kOver) return -ECONNABORTED;
  MUST(state == State::kAsking);
  we_say(data);
  pair->ledger().peer_says(peer);
  return state = State::kAnswered, 0;
}

int PuppetEndpoint::disconnect() noexcept {
  if (pair != nullptr) pair->fail();
  const bool connected =
      state == State::kStanding || state == State::kAnswered || state == State::kOver;
  return connected ? 0 : -EINVAL;
}

sockaddr_storage PuppetEndpoint::local_address() const noexcept {
  sockaddr_storage address{};
  auto& in = reinterpret_cast<sockaddr_in&>(address);
  in.sin_family = AF_INET;
  in.sin_port = htons(7);
  return address;
}

Device* PuppetEndpoint::device() const noexcept { return puppet_device(); }

std::unique_ptr<QueuePair> PuppetEndpoint::create_queue_pair(CompletionQueue& queue,
                                                             const QueueSizes& sizes) {
  if (state == State::kAsking) talk = puppet().talk;
  auto made = std::make_unique<PuppetPair>(static_cast<PuppetQueue&>(queue), sizes, talk,
                                           static_cast<PuppetShared*>(sizes.shared_recv));
  pair = made.get();
  return made;
}

std::unique_ptr<SecondQueuePair> PuppetEndpoint::create_second_pair(CompletionQueue& queue,
                                                                    const QueueSizes& sizes) {
  MUST(pair != nullptr);
  if (puppet().lane_is_missing) {
    throw std::system_error(ENOMEM, std::generic_category(), "a second queue pair");
  }
  return std::make_unique<PuppetLane>(static_cast<PuppetQueue&>(queue), sizes, *pair);
}

}  // namespace sio::test

namespace sio::internal::provider {

// In the place of provider/instance.cc.
Provider& instance() { return sio::test::provider(); }

}  // namespace sio::internal::provider
