// SPDX-License-Identifier: BSD-2-Clause
#include "puppet_datagram.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "must.h"
#include "puppet_provider.h"

namespace sio::test {

using namespace internal::provider;
using Fails = DatagramPuppet::Fails;

namespace {

std::set<const PuppetDestination*>& destinations() {
  static auto* const all = new std::set<const PuppetDestination*>;
  return *all;
}

constexpr uint32_t kEverybody = 0xffffff;  // the queue pair of a group

}  // namespace

DatagramPuppet& datagram_puppet() {
  static auto* const one = new DatagramPuppet;
  return *one;
}

// ------------------------------------------------------------------------------------ destinations

PuppetDestination::PuppetDestination(const InetAddress& address, uint32_t queue_pair)
    : address_(address), queue_pair_(address.is_group() ? kEverybody : queue_pair) {
  destinations().insert(this);
}

PuppetDestination::~PuppetDestination() { destinations().erase(this); }

const PuppetDestination* PuppetDestination::of(const ibv_ah* handle) {
  const auto* const one = reinterpret_cast<const PuppetDestination*>(handle);
  return destinations().contains(one) ? one : nullptr;
}

size_t PuppetDestination::alive() { return destinations().size(); }

// -------------------------------------------------------------------------------------- queue pair

PuppetDatagramPair::PuppetDatagramPair(PuppetQueue& queue, const QueueSizes& sizes,
                                       std::shared_ptr<DatagramLedger> ledger)
    : PuppetPairOf(queue, sizes, nullptr), ledger_(std::move(ledger)) {
  datagram_puppet().pairs.push_back(this);
}

PuppetDatagramPair::~PuppetDatagramPair() {
  MUST(groups_.empty());
  std::erase(datagram_puppet().pairs, this);
}

int PuppetDatagramPair::attach(const Destination& group) noexcept {
  MUST(PuppetDestination::of(group.handle()) != nullptr && !groups_.contains(&group));
  if (datagram_puppet().fails_now(Fails::kAttach)) return -ENOMEM;
  groups_.insert(&group);
  ledger_->joins(PuppetDestination::of(group.handle())->address(), DatagramLedger::Wish::kYes);
  return 0;
}

int PuppetDatagramPair::detach(const Destination& group) noexcept {
  MUST(PuppetDestination::of(group.handle()) != nullptr);
  // What has come already may yet be taken for the group's, or not.
  ledger_->joins(PuppetDestination::of(group.handle())->address(), DatagramLedger::Wish::kPerhaps);
  return groups_.erase(&group) == 1 ? 0 : -EINVAL;
}

void PuppetDatagramPair::sent(const ibv_send_wr& wr, const std::string& payload) {
  MUST(wr.opcode == IBV_WR_SEND_WITH_IMM);
  MUST((wr.send_flags & (IBV_SEND_SIGNALED | IBV_SEND_SOLICITED)) ==
       (IBV_SEND_SIGNALED | IBV_SEND_SOLICITED));
  const PuppetDestination* const to = PuppetDestination::of(wr.wr.ud.ah);
  MUST(to != nullptr && wr.wr.ud.remote_qpn == to->queue_pair());
  MUST(wr.wr.ud.remote_qkey == to->key() && payload.size() <= datagram_puppet().mtu);
  under_way_.push_back(wr.wr.ud.ah);
  ledger_->sent(to->address(), wr.imm_data, payload);
}

void PuppetDatagramPair::sent_in_vain(const ibv_send_wr& wr) {
  const PuppetDestination* const to = PuppetDestination::of(wr.wr.ud.ah);
  MUST(to != nullptr);
  ledger_->numbers(to->address(), wr.imm_data);
}

// The device needs it until then.
void PuppetDatagramPair::send_ended() {
  if (under_way_.empty()) return;  // it was posted to a queue pair that had failed
  MUST(PuppetDestination::of(under_way_.front()) != nullptr);
  under_way_.pop_front();
}

void PuppetDatagramPair::came(const Frame& frame, char* at) {
  arrived_.push_back({at, frame.payload});
}

void PuppetDatagramPair::came_up(const ibv_wc& wc) {
  const auto [at, bytes] = arrived_.front();
  arrived_.pop_front();
  ledger_->came_up(wc, at, bytes, pair_number());
}

// ---------------------------------------------------------------------------------------- endpoint

PuppetDatagramEndpoint::PuppetDatagramEndpoint()
    : serial_(Puppet::next_serial()), ledger_(datagram_puppet().ledger) {
  datagram_puppet().endpoints.push_back(this);
}

PuppetDatagramEndpoint::~PuppetDatagramEndpoint() { std::erase(datagram_puppet().endpoints, this); }

int PuppetDatagramEndpoint::bind(const sockaddr* address, bool) noexcept {
  MUST(state == State::kIdle);
  if (datagram_puppet().fails_now(Fails::kBind)) return -EADDRINUSE;
  local_ = InetAddress(address);
  if (local_.port() == 0) local_ = local_.with_port(7777);
  state = State::kBound;
  return 0;
}

int PuppetDatagramEndpoint::listen(int) noexcept {
  MUST(state == State::kBound);
  if (datagram_puppet().fails_now(Fails::kListen)) return -ENOMEM;
  ledger_->source = local_;
  if (!ledger_->name.is_set()) ledger_->name = local_;
  state = State::kFound;
  return 0;
}

int PuppetDatagramEndpoint::resolve(const sockaddr* peer, int timeout_ms) noexcept {
  MUST((state == State::kIdle || state == State::kBound) && timeout_ms > 0);
  if (datagram_puppet().fails_now(Fails::kResolve)) return -ENETUNREACH;
  about = InetAddress(peer);
  state = State::kResolving;
  return 0;
}

int PuppetDatagramEndpoint::connect(std::span<const std::byte> data) noexcept {
  MUST(state == State::kResolved && data.empty());
  if (datagram_puppet().fails_now(Fails::kConnect)) return -ENOMEM;
  state = State::kAsking;
  return 0;
}

int PuppetDatagramEndpoint::join(const sockaddr* group, bool) noexcept {
  MUST(state == State::kBound);
  if (datagram_puppet().fails_now(Fails::kJoin)) return -EOPNOTSUPP;
  about = InetAddress(group);
  MUST(about.is_group());
  state = State::kJoining;
  return 0;
}

Device* PuppetDatagramEndpoint::device() const noexcept {
  return state == State::kIdle ? nullptr : puppet_device();
}

PortInfo PuppetDatagramEndpoint::port_info() const {
  return {"puppet", 1, 0, "::1", datagram_puppet().mtu};
}

std::unique_ptr<QueuePair> PuppetDatagramEndpoint::create_queue_pair(CompletionQueue& queue,
                                                                     const QueueSizes& sizes) {
  if (datagram_puppet().fails_now(Fails::kPair)) {
    throw std::system_error(ENOMEM, std::generic_category(), "a queue pair");
  }
  return std::make_unique<PuppetDatagramPair>(static_cast<PuppetQueue&>(queue), sizes, ledger_);
}

std::unique_ptr<SecondQueuePair> PuppetDatagramEndpoint::create_second_pair(CompletionQueue&,
                                                                            const QueueSizes&) {
  throw std::system_error(EOPNOTSUPP, std::generic_category(), "a second queue pair");
}

std::unique_ptr<Destination> PuppetDatagramEndpoint::source_of(const ibv_wc& wc, const void* grh) {
  if (datagram_puppet().fails_now(Fails::kSource)) {
    throw std::system_error(ENOMEM, std::generic_category(), "a way back");
  }
  const std::optional<Header> header = header_of(static_cast<const char*>(grh));
  MUST(header && wc.status == IBV_WC_SUCCESS);
  const auto port = static_cast<uint16_t>(ntohl(wc.imm_data) >> 16);
  return std::make_unique<PuppetDestination>(header->from.with_port(port), wc.src_qp);
}

}  // namespace sio::test
