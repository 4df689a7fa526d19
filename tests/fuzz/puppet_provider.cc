// SPDX-License-Identifier: BSD-2-Clause
#include "puppet_provider.h"

#include <arpa/inet.h>
#include <sanitizer/asan_interface.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/fd.h"
#include "must.h"

namespace sio::test {

using namespace internal::provider;
using internal::OwnFd;

namespace {

void* pointer(uint64_t address) { return reinterpret_cast<void*>(address); }

// --------------------------------------------------------------------------- registered memory

struct Registered {
  uintptr_t base;
  size_t size;
};

std::map<uint32_t, Registered>& registered() {
  static auto* const by_key = new std::map<uint32_t, Registered>;
  return *by_key;
}

void check_memory(const ibv_sge& sge) {
  const auto found = registered().find(sge.lkey);
  MUST(found != registered().end());
  const auto [base, size] = found->second;
  MUST(sge.addr >= base && sge.length <= size && sge.addr - base <= size - sge.length);
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
  void notify() { MUST(eventfd_write(fd_.get(), 1) == 0); }
  void take_notifications(unsigned most) noexcept override {
    eventfd_t one;
    while (most-- > 0 && eventfd_read(fd_.get(), &one) == 0) {
    }
  }
  std::unique_ptr<CompletionQueue> create_queue(uint32_t entries) override;

 private:
  OwnFd fd_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE)};
};

}  // namespace

class PuppetQueue final : public CompletionQueue {
 public:
  PuppetQueue(PuppetChannel& channel, uint32_t entries) : channel_(channel), capacity_(entries) {
    ++puppet().queues;
  }
  ~PuppetQueue() override {
    MUST(used_ == 0);
    --puppet().queues;
  }
  uint32_t capacity() const noexcept override { return capacity_; }
  int poll(int n, ibv_wc* wc) noexcept override;
  int arm(bool solicited_only) noexcept override {
    if (!armed_ || !solicited_only) solicited_only_ = solicited_only;
    armed_ = true;
    return 0;
  }
  void push(const ibv_wc& wc, bool solicited) {
    completions_.push_back(wc);
    if (!armed_ || (solicited_only_ && !solicited)) return;
    armed_ = false;
    channel_.notify();
  }
  // Entries that posted requests may need.
  void use(uint32_t n) { MUST((used_ += n) <= capacity_); }
  void unuse(uint32_t n) { used_ -= n; }

 private:
  PuppetChannel& channel_;
  const uint32_t capacity_;
  std::deque<ibv_wc> completions_;
  uint32_t used_ = 0;
  bool armed_ = false;
  bool solicited_only_ = false;
};

std::unique_ptr<CompletionQueue> PuppetChannel::create_queue(uint32_t entries) {
  return std::make_unique<PuppetQueue>(*this, entries);
}

int PuppetQueue::poll(int n, ibv_wc* wc) noexcept {
  int taken = 0;
  for (; taken < n && !completions_.empty(); ++taken) {
    wc[taken] = completions_.front();
    completions_.pop_front();
    for (PuppetPair* pair : puppet().pairs) {
      if (pair->number() == wc[taken].qp_num) pair->polled(wc[taken]);
    }
  }
  return taken;
}

// ---------------------------------------------------------------------------------- queue pairs

PuppetPair::PuppetPair(PuppetQueue& queue, const QueueSizes& sizes)
    : queue_(queue),
      sizes_(sizes),
      number_([] {
        static uint32_t last = 0;
        return last += 2;
      }()),
      ledger_(puppet().talk) {
  puppet().pairs.push_back(this);
}

PuppetPair::~PuppetPair() {
  std::erase(puppet().pairs, this);
  for (PuppetEndpoint* endpoint : puppet().endpoints) {
    if (endpoint->pair == this) endpoint->pair = nullptr;
  }
  queue_.unuse(sends_to_reap_ + receives_used_);
  for (const auto& [slot, size] : slots_) ASAN_UNPOISON_MEMORY_REGION(slot, size);
}

uint32_t PuppetPair::max_inline() const noexcept { return puppet().max_inline; }

int PuppetPair::post_send(ibv_send_wr* chain, ibv_send_wr**) noexcept {
  for (ibv_send_wr* wr = chain; wr != nullptr; wr = wr->next) {
    MUST(++sends_to_reap_ <= sizes_.send_wr);
    queue_.use(1);
    if (!failed_) check_send(*wr);
    sends_.push_back({wr->wr_id, wr->opcode, (wr->send_flags & IBV_SEND_SIGNALED) != 0});
  }
  if (failed_ && !puppet().flush_late) flush();
  return 0;
}

void PuppetPair::check_send(const ibv_send_wr& wr) {
  if (wr.opcode == IBV_WR_RDMA_WRITE) {
    MUST(wr.num_sge == 0 && wr.wr.rdma.rkey == 0 && (wr.send_flags & IBV_SEND_SIGNALED) != 0);
    return;
  }
  MUST(wr.opcode == IBV_WR_SEND_WITH_IMM && (wr.send_flags & IBV_SEND_SOLICITED) != 0);
  MUST(wr.num_sge >= 0 && static_cast<uint32_t>(wr.num_sge) <= sizes_.send_sge);
  const bool inlined = (wr.send_flags & IBV_SEND_INLINE) != 0;
  std::string payload;
  for (int i = 0; i < wr.num_sge; ++i) {
    const ibv_sge& sge = wr.sg_list[i];
    if (!inlined) check_memory(sge);
    payload.append(static_cast<const char*>(pointer(sge.addr)), sge.length);
  }
  MUST(!inlined || payload.size() <= puppet().max_inline);
  ledger_.sent(wr.imm_data, payload);
}

// A slot is the device's while it is posted: whoever looks there is found out.
int PuppetPair::post_recv(ibv_recv_wr* chain, ibv_recv_wr**) noexcept {
  for (ibv_recv_wr* wr = chain; wr != nullptr; wr = wr->next) {
    MUST(wr->num_sge == 1);
    const ibv_sge& sge = wr->sg_list[0];
    check_memory(sge);
    MUST(++receives_used_ <= sizes_.recv_wr);
    queue_.use(1);
    for (const Receive& other : receives_) MUST(other.sge.addr != sge.addr);
    receives_.push_back({wr->wr_id, sge});
    slots_[pointer(sge.addr)] = sge.length;
    ASAN_POISON_MEMORY_REGION(pointer(sge.addr), sge.length);
  }
  if (failed_ && !puppet().flush_late) flush();
  return 0;
}

void PuppetPair::fail() noexcept {
  failed_ = true;
  if (!puppet().flush_late) flush();
}

bool PuppetPair::flush() {
  if (!failed_ || (receives_.empty() && sends_.empty())) return false;
  while (!receives_.empty()) fail_receive(IBV_WC_WR_FLUSH_ERR);
  while (!sends_.empty()) fail_send(IBV_WC_WR_FLUSH_ERR);
  return true;
}

void PuppetPair::receive(const Frame& frame) {
  const Receive& into = receives_.front();
  const auto length = static_cast<uint32_t>(frame.payload.size());
  char* const slot = static_cast<char*>(pointer(into.sge.addr));
  ASAN_UNPOISON_MEMORY_REGION(slot, length);
  std::memcpy(slot, frame.payload.data(), length);
  const bool send = frame.opcode == IBV_WC_RECV;
  ledger_.came(send && frame.with_imm, frame.imm_data, slot, length);
  ibv_wc wc{};
  wc.status = IBV_WC_SUCCESS;
  wc.opcode = frame.opcode;
  wc.byte_len = length;
  wc.imm_data = frame.imm_data;
  wc.wc_flags = frame.with_imm ? IBV_WC_WITH_IMM : 0;
  finish_receive(wc, frame.solicited);
}

void PuppetPair::fail_receive(ibv_wc_status status) {
  ASAN_UNPOISON_MEMORY_REGION(pointer(receives_.front().sge.addr), receives_.front().sge.length);
  ibv_wc wc{};
  std::memset(&wc, 0xa5, sizeof wc);  // of a failure only these mean something
  wc.status = status;
  wc.vendor_err = 7;
  finish_receive(wc, true);
  if (!failed_) fail();
}

void PuppetPair::finish_receive(ibv_wc wc, bool solicited) {
  wc.wr_id = receives_.front().wr_id;
  wc.qp_num = number_;
  receives_.pop_front();
  queue_.push(wc, solicited);
}

void PuppetPair::complete_sends(unsigned n) {
  while (!failed_ && n-- > 0 && !sends_.empty()) finish_send(IBV_WC_SUCCESS);
}

void PuppetPair::fail_send(ibv_wc_status status) {
  finish_send(status);
  if (!failed_) fail();
}

void PuppetPair::finish_send(ibv_wc_status status) {
  const Send send = sends_.front();
  sends_.pop_front();
  ++completed_;
  if (status == IBV_WC_SUCCESS && !send.signalled) return;
  ibv_wc wc{};
  if (status != IBV_WC_SUCCESS) std::memset(&wc, 0xa5, sizeof wc);
  wc.wr_id = send.wr_id;
  wc.qp_num = number_;
  wc.status = status;
  if (status == IBV_WC_SUCCESS) {
    wc.opcode = send.opcode == IBV_WR_RDMA_WRITE ? IBV_WC_RDMA_WRITE : IBV_WC_SEND;
  }
  covers_.push_back(std::exchange(completed_, 0));
  queue_.push(wc, false);
}

// The library cannot know whether a failed completion is of a send or a receive but by its wr_id,
// and no more can we.
void PuppetPair::polled(const ibv_wc& wc) {
  const bool receive = wc.wr_id >> 60 == 1;
  uint32_t freed = 1;
  if (receive) {
    --receives_used_;
    if (wc.status == IBV_WC_SUCCESS && wc.opcode == IBV_WC_RECV &&
        (wc.wc_flags & IBV_WC_WITH_IMM) != 0) {
      ledger_.credits_came(wc.imm_data);
    }
  } else {
    freed = covers_.front();
    covers_.pop_front();
    sends_to_reap_ -= freed;
  }
  queue_.unuse(freed);
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
  std::unique_ptr<SharedReceiveQueue> create_shared_receive_queue(uint32_t) override {
    throw std::system_error(EOPNOTSUPP, std::generic_category(), "shared receives");
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
  void handle_async(int) noexcept override {}

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
    throw std::system_error(EOPNOTSUPP, std::generic_category(), "datagrams");
  }

  PuppetDevice device_;
  std::array<Device*, 1> list_{&device_};
  std::deque<ConnectionEvent> events_;
  OwnFd fd_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
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

void Puppet::tell(ConnectionEvent event) { provider().tell(std::move(event)); }

Puppet& puppet() {
  static auto* const one = new Puppet;
  return *one;
}

// ------------------------------------------------------------------------------------ endpoints

PuppetEndpoint::PuppetEndpoint(State first)
    : state(first), serial_([] {
        static uint64_t last = 0;
        return ++last;
      }()) {
  puppet().endpoints.push_back(this);
}

PuppetEndpoint::~PuppetEndpoint() {
  MUST(pair == nullptr);  // goes first
  std::erase(puppet().endpoints, this);
}

int PuppetEndpoint::connect(std::span<const std::byte> data) noexcept {
  internal::wire::Hello ours;
  MUST(internal::wire::decode_hello(data, ours) == internal::wire::HelloFault::kNone);
  if (state == State::kOver) return -EHOSTUNREACH;
  MUST(state == State::kResolved && pair != nullptr);
  pair->ledger().we_say(ours);
  return state = State::kConnecting, 0;
}

int PuppetEndpoint::accept(std::span<const std::byte> data) noexcept {
  internal::wire::Hello ours;
  MUST(internal::wire::decode_hello(data, ours) == internal::wire::HelloFault::kNone);
  if (state == State::kOver) return -ECONNABORTED;
  MUST(state == State::kAsking && pair != nullptr);
  pair->ledger().we_say(ours);
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

Device* PuppetEndpoint::device() const noexcept { return provider().device(); }

std::unique_ptr<QueuePair> PuppetEndpoint::create_queue_pair(CompletionQueue& queue,
                                                             const QueueSizes& sizes) {
  auto made = std::make_unique<PuppetPair>(static_cast<PuppetQueue&>(queue), sizes);
  pair = made.get();
  return made;
}

std::unique_ptr<SecondQueuePair> PuppetEndpoint::create_second_pair(CompletionQueue&,
                                                                    const QueueSizes&) {
  throw std::system_error(ENOMEM, std::generic_category(), "a second queue pair");
}

}  // namespace sio::test

namespace sio::internal::provider {

// In the place of provider/instance.cc.
Provider& instance() { return sio::test::provider(); }

}  // namespace sio::internal::provider
