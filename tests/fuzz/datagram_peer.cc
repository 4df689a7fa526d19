// SPDX-License-Identifier: BSD-2-Clause
#include "datagram_peer.h"

#include <arpa/inet.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "one_thread.h"
#include "pattern.h"
#include "puppet_provider.h"
#include "times.h"

namespace sio::test {
namespace {

using Kind = ConnectionEvent::Kind;

constexpr std::array kErrors = {EHOSTUNREACH, ETIMEDOUT, ECONNREFUSED, ENOMEM};

InetAddress address_of(int family, const char* text, uint16_t port) {
  uint8_t bytes[16] = {};
  inet_pton(family, text, bytes);
  const InetAddress address =
      family == AF_INET ? InetAddress::of_ipv4(bytes) : InetAddress::of_ipv6(bytes);
  return address.with_port(port);
}

uint32_t tag(uint16_t port, uint16_t sequence) {
  return htonl(static_cast<uint32_t>(port) << 16 | sequence);
}

}  // namespace

// Some are ours, or nobody's.
InetAddress some_host(uint32_t number, int family) {
  const char* const four[] = {"10.0.0.2", "10.0.0.3", "10.0.0.1", "0.0.0.0"};
  const char* const six[] = {"2001:db8::2", "2001:db8::3", "2001:db8::1", "fe80::2"};
  const char* const text = (family == AF_INET ? four : six)[number & 3];
  return address_of(family, text, static_cast<uint16_t>(7777 + (number >> 2 & 63)));
}

InetAddress some_group(uint32_t number, int family) {
  const char* const four[] = {"224.1.1.1", "224.1.1.2", "239.0.0.3", "224.0.0.1"};
  const char* const six[] = {"ff15::1", "ff15::2", "ff02::3", "ff05::1"};
  const char* const text = (family == AF_INET ? four : six)[number & 3];
  return address_of(family, text, static_cast<uint16_t>(7777 + (number >> 2 & 1)));
}

void DatagramPeer::act(uint32_t step) {
  switch (step) {
    case 0:
      return resolve();
    case 1:
      return establish(true);
    case 2:
      return establish(false);
    case 3:
      return refuse(true);
    case 4:
      return refuse(false);
    case 5:
      return answer_late();
    case 6:
      return datagram(false);
    case 7:
      return datagram(true);
    case 8:
      return odd_datagram();
    case 9:
      return many_datagrams();
    case 10: {
      const uint32_t n = 1 + input_.below(32);
      if (pair() != nullptr) pair()->complete_sends(n);
      return;
    }
    case 11: {
      const auto status = static_cast<ibv_wc_status>(1 + input_.below(IBV_WC_GENERAL_ERR));
      const bool sends = (input_.byte() & 1) == 0;
      if (pair() == nullptr) return;
      if (sends && pair()->has_send()) pair()->fail_send(status);
      if (!sends && pair()->has_receive()) pair()->fail_receive(status);
      return;
    }
    case 12:
      if (pair() != nullptr) pair()->flush();
      return;
    case 13:
      return break_socket();
    case 14:
      datagram_puppet().fails = input_.byte();
      return;
    default:
      return pass_time(some_time(input_));
  }
}

PuppetDatagramPair* DatagramPeer::pair() const {
  const auto& all = datagram_puppet().pairs;
  return all.empty() ? nullptr : all.back();
}

// --------------------------------------------------------------------------------------- questions

// One of those that wait.
PuppetDatagramEndpoint* DatagramPeer::question() const {
  std::vector<PuppetDatagramEndpoint*> open;
  for (PuppetDatagramEndpoint* one : datagram_puppet().endpoints) {
    const State state = one->state;
    if (state == State::kResolving || state == State::kAsking || state == State::kJoining) {
      open.push_back(one);
    }
  }
  return open.empty() ? nullptr : open[input_.byte() % open.size()];
}

void DatagramPeer::resolve() {
  PuppetDatagramEndpoint* const one = question();
  if (one == nullptr || one->state != State::kResolving) return;
  one->state = State::kResolved;
  puppet().tell({Kind::kResolved, one->serial(), nullptr, 0, {}});
}

// All the way, if it comes to that.
void DatagramPeer::establish(bool with_destination) {
  PuppetDatagramEndpoint* const one = question();
  if (one == nullptr) return;
  if (one->state == State::kResolving) {
    one->state = State::kResolved;
    const uint64_t serial = one->serial();
    puppet().tell({Kind::kResolved, serial, nullptr, 0, {}});
    run_control();
    const auto& all = datagram_puppet().endpoints;
    if (std::find(all.begin(), all.end(), one) == all.end() || one->serial() != serial) return;
  }
  if (one->state != State::kAsking && one->state != State::kJoining) return;
  one->state = State::kOver;
  ConnectionEvent event{Kind::kEstablished, one->serial(), nullptr, 0, {}};
  if (with_destination) {
    event.destination = std::make_unique<PuppetDestination>(one->about, 100 + input_.byte());
  }
  puppet().tell(std::move(event));
}

void DatagramPeer::refuse(bool politely) {
  PuppetDatagramEndpoint* const one = question();
  if (one == nullptr) return;
  one->state = State::kOver;
  const int error = politely ? ECONNREFUSED : kErrors[input_.byte() % kErrors.size()];
  puppet().tell({politely ? Kind::kRefused : Kind::kFailed, one->serial(), nullptr, error, {}});
}

// Of an endpoint that has ended, or is about something else by now.
void DatagramPeer::answer_late() {
  const uint32_t back = input_.byte();
  const uint64_t serial = Puppet::next_serial() - back % 8;
  for (const PuppetDatagramEndpoint* one : datagram_puppet().endpoints) {
    if (one->serial() == serial) return;
  }
  ConnectionEvent event{Kind::kEstablished, serial, nullptr, 0, {}};
  event.destination = std::make_unique<PuppetDestination>(some_host(back, AF_INET), back);
  puppet().tell(std::move(event));
}

// The socket's own endpoint fails.
void DatagramPeer::break_socket() {
  const bool gone = (input_.byte() & 1) != 0;
  for (PuppetDatagramEndpoint* one : datagram_puppet().endpoints) {
    if (one->state != State::kFound) continue;
    one->state = State::kOver;
    return puppet().tell(
        {gone ? Kind::kDeviceGone : Kind::kFailed, one->serial(), nullptr, ENODEV, {}});
  }
}

bool DatagramPeer::leave() {
  bool any = false;
  for (PuppetDatagramEndpoint* one : datagram_puppet().endpoints) {
    const State state = one->state;
    if (state != State::kResolving && state != State::kAsking && state != State::kJoining) continue;
    one->state = State::kOver;
    puppet().tell({Kind::kFailed, one->serial(), nullptr, EHOSTUNREACH, {}});
    any = true;
  }
  if (pair() == nullptr) return any;
  any |= pair()->has_send();
  pair()->complete_sends(UINT32_MAX);
  return pair()->flush() || any;
}

// --------------------------------------------------------------------------------------- datagrams

// The device has nowhere to put what finds no receive.
void DatagramPeer::deliver(const PuppetWork::Frame& frame) {
  if (pair() == nullptr || !pair()->has_receive()) return;
  if (frame.payload.size() > pair()->receive_length()) {
    return pair()->fail_receive(IBV_WC_LOC_LEN_ERR);
  }
  pair()->receive(frame);
}

// The next, or with something missing, or late.
uint16_t DatagramPeer::sequence_of(const InetAddress& from, const InetAddress& to) {
  uint16_t& last = sequences_[{from.port(), to.is_group()}];
  const uint32_t how = input_.byte();
  if (how >= 192) last = static_cast<uint16_t>(last + (how - 192) * (how - 192));
  if (how == 191) return 0;
  if (how == 190) return static_cast<uint16_t>(last - 1);
  return last == 65535 ? last = 1 : ++last;
}

void DatagramPeer::datagram(bool to_group) {
  const DatagramLedger& ledger = *datagram_puppet().ledger;
  const uint32_t who = input_.byte();
  const uint32_t how = input_.byte();
  const size_t size = input_.word() % 4200;
  if (!ledger.name.is_set()) return;
  const int family = ledger.name.family();
  const InetAddress from = some_host(who, family);
  const InetAddress to = to_group ? some_group(how, family) : ledger.name;
  PuppetWork::Frame frame;
  frame.flags = IBV_WC_WITH_IMM | IBV_WC_GRH;
  frame.imm_data = tag(from.port(), sequence_of(from, to));
  frame.source = (how & 64) != 0 ? how : 100 + who;
  if ((how & 128) != 0 && pair() != nullptr) frame.source = pair()->pair_number();
  frame.payload = header_from(from, to) + pattern(size, ++pattern_);
  if (to_group) {
    const uint16_t port = htons((how & 32) != 0 ? 7777 : ledger.name.port());
    if ((how & 16) == 0) frame.payload.append(reinterpret_cast<const char*>(&port), sizeof port);
  }
  deliver(frame);
}

// Something wrong with what a device puts before it, or says of it; or with the sender's part.
void DatagramPeer::odd_datagram() {
  const uint32_t how = input_.byte();
  const uint32_t who = input_.byte();
  const uint32_t imm = static_cast<uint32_t>(input_.word()) << 16 | input_.word();
  const std::string rest = input_.bytes();
  const int ours = datagram_puppet().ledger->name.family() == AF_INET6 ? AF_INET6 : AF_INET;
  const int family = (how & 1) == 0 ? ours : ours == AF_INET ? AF_INET6 : AF_INET;
  PuppetWork::Frame frame;
  frame.flags = ((how & 2) == 0 ? IBV_WC_WITH_IMM : 0) | ((how & 4) == 0 ? IBV_WC_GRH : 0);
  if ((how & 24) == 24) frame.opcode = IBV_WC_RECV_RDMA_WITH_IMM;
  frame.imm_data = htonl(imm);
  frame.source = who;
  const InetAddress from =
      (who & 1) == 0 ? some_host(who >> 1, family) : some_group(who >> 1, family);
  const InetAddress to = (who & 128) != 0 ? some_group(imm, family) : some_host(2, family);
  frame.payload = header_from(from, to) + rest;
  if ((how & 32) != 0) frame.payload.resize(rest.size());
  if ((how & 64) != 0 && !frame.payload.empty()) {
    frame.payload[imm % frame.payload.size()] ^= static_cast<char>(how);
  }
  frame.solicited = (how & 128) == 0;
  deliver(frame);
}

// From everywhere.
void DatagramPeer::many_datagrams() {
  const uint32_t n = input_.byte();
  const DatagramLedger& ledger = *datagram_puppet().ledger;
  const auto first = input_.word();
  if (!ledger.name.is_set()) return;
  for (uint32_t i = 0; i < n; ++i) {
    const auto port = static_cast<uint16_t>(1 + (first + i * 7) % 65535);
    const InetAddress from = some_host(i & 1, ledger.name.family()).with_port(port);
    PuppetWork::Frame frame;
    frame.flags = IBV_WC_WITH_IMM | IBV_WC_GRH;
    frame.imm_data = tag(port, 0);
    frame.source = port;
    frame.payload = header_from(from, ledger.name) + pattern(i, ++pattern_);
    deliver(frame);
  }
}

}  // namespace sio::test
