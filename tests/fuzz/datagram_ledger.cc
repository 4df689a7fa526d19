// SPDX-License-Identifier: BSD-2-Clause
#include "datagram_ledger.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "must.h"

namespace sio::test {
namespace {

constexpr size_t kHeader = 40;
constexpr size_t kLargest = 4096;

uint16_t next(uint16_t sequence) {
  return sequence == 65535 ? uint16_t{1} : static_cast<uint16_t>(sequence + 1);
}

std::string ip_of(const InetAddress& address) {
  const sockaddr_storage storage = address.to_storage();
  if (address.family() == AF_INET6) {
    const auto& in = reinterpret_cast<const sockaddr_in6&>(storage);
    return {reinterpret_cast<const char*>(&in.sin6_addr), 16};
  }
  const auto& in = reinterpret_cast<const sockaddr_in&>(storage);
  return {reinterpret_cast<const char*>(&in.sin_addr), 4};
}

}  // namespace

std::optional<Header> header_of(const char* grh) {
  if ((static_cast<uint8_t>(grh[0]) >> 4) == 6) {
    return Header{InetAddress::of_ipv6(grh + 8), InetAddress::of_ipv6(grh + 24)};
  }
  if (grh[20] != 0x45) return {};
  return Header{InetAddress::of_ipv4(grh + 32), InetAddress::of_ipv4(grh + 36)};
}

std::string header_from(const InetAddress& from, const InetAddress& to) {
  std::string bytes(kHeader, '\0');
  if (from.family() == AF_INET6) {
    bytes[0] = 0x60;
    bytes.replace(8, 16, ip_of(from));
    bytes.replace(24, 16, ip_of(to));
  } else {
    bytes[20] = 0x45;
    bytes.replace(32, 4, ip_of(from));
    bytes.replace(36, 4, ip_of(to));
  }
  return bytes;
}

DatagramLedger::Key DatagramLedger::key(const InetAddress& address) {
  const uint16_t port = address.port();
  return {ip_of(address) + static_cast<char>(port >> 8) + static_cast<char>(port)};
}

// ----------------------------------------------------------------------------------------- sending

uint64_t DatagramLedger::offers(const InetAddress& to, const std::string& message) {
  offered_[key(to)].push_back({offers_, message});
  return offers_++;
}

void DatagramLedger::takes_back(const InetAddress& to) { offered_[key(to)].pop_back(); }

void DatagramLedger::numbers(const InetAddress& to, uint32_t imm_data) {
  const uint32_t bits = ntohl(imm_data);
  MUST(bits >> 16 == source.port());
  const auto sequence = static_cast<uint16_t>(bits);
  const auto last = sequences_.find(key(to));
  MUST(sequence == 0 || (last != sequences_.end() && sequence == next(last->second)));
  sequences_[key(to)] = sequence;
}

// Those to one address leave in their order; what came before may have been lost, when the address
// was not to be found.
void DatagramLedger::sent(const InetAddress& to, uint32_t imm_data, const std::string& payload) {
  numbers(to, imm_data);
  std::string message = payload;
  if (to.is_group()) {
    MUST(payload.size() >= 2);
    uint16_t port;
    std::memcpy(&port, payload.data() + payload.size() - 2, sizeof port);
    MUST(ntohs(port) == to.port());
    message.resize(payload.size() - 2);
  }
  std::deque<Offered>& there = offered_[key(to)];
  const auto found = std::find_if(there.begin(), there.end(),
                                  [&](const Offered& one) { return one.bytes == message; });
  MUST(found != there.end());
  left_.insert(found->number);
  there.erase(there.begin(), found + 1);
}

// --------------------------------------------------------------------------------------- receiving

DatagramLedger::Wish DatagramLedger::judge(const ibv_wc& wc, const std::string& bytes,
                                           uint32_t queue_pair, bool& odd, Expected& found,
                                           InetAddress& group) const {
  odd = true;
  const unsigned wanted = IBV_WC_GRH | IBV_WC_WITH_IMM;
  if (wc.opcode != IBV_WC_RECV || (wc.wc_flags & wanted) != wanted) return Wish::kNo;
  if (bytes.size() < kHeader || bytes.size() > kHeader + kLargest) return Wish::kNo;
  const std::optional<Header> header = header_of(bytes.data());
  const auto port = static_cast<uint16_t>(ntohl(wc.imm_data) >> 16);
  if (!header || header->from.family() != name.family() || port == 0) return Wish::kNo;
  if (header->from.is_group() || header->from.is_wildcard()) return Wish::kNo;
  found.from = header->from.with_port(port);
  found.bytes = bytes.substr(kHeader);
  Wish wish = Wish::kYes;
  if (header->to.is_group()) {
    if (found.bytes.size() < 2) return Wish::kNo;
    uint16_t for_port;
    std::memcpy(&for_port, found.bytes.data() + found.bytes.size() - 2, sizeof for_port);
    found.bytes.resize(found.bytes.size() - 2);
    odd = false;
    group = header->to;
    const auto member = groups_.find(group_key(group));
    const bool here = source.is_wildcard() || found.from == source;
    const bool ours = here && found.from.port() == source.port() && wc.src_qp == queue_pair;
    if (ntohs(for_port) != name.port() || ours || member == groups_.end()) return Wish::kNo;
    wish = member->second;
  }
  odd = false;
  if (connected_ == Wish::kNo || peer_ == found.from || wish == Wish::kNo) return wish;
  return connected_ == Wish::kYes ? Wish::kNo : Wish::kPerhaps;
}

void DatagramLedger::came_up(const ibv_wc& wc, const char* at, const std::string& bytes,
                             uint32_t queue_pair) {
  if (closed_) return;
  ++counts_.came;
  // What was there before is given back: the program has had it, or it was not wanted.
  std::erase_if(expected_, [&](const Expected& one) {
    if (one.at != at + kHeader) return false;
    MUST(one.perhaps);
    return true;
  });
  bool odd = false;
  Expected found{at + kHeader, {}, {}, false};
  InetAddress group;
  const Wish wish = judge(wc, bytes, queue_pair, odd, found, group);
  found.perhaps = wish == Wish::kPerhaps;
  if (found.perhaps) counts_.exact = false;
  if (wish == Wish::kNo) {
    ++(odd ? counts_.odd : counts_.unwanted);
    return;
  }
  count_missing(found.from, group, static_cast<uint16_t>(ntohl(wc.imm_data)));
  expected_.push_back(found);
}

void DatagramLedger::count_missing(const InetAddress& from, const InetAddress& group,
                                   uint16_t sequence) {
  Key source = key(from);
  if (group.is_set()) source.bytes += group_key(group).bytes;
  if (!next_.contains(source) && next_.size() >= sources)
    counts_.exact = false;  // one is forgotten
  uint16_t& expected = next_[source];
  if (sequence != 0 && expected != 0) {
    const uint32_t gap = (sequence + 65535u - expected) % 65535u;
    if (gap >= 32768) {
      ++counts_.late;
      return;
    }
    counts_.lost += gap;
  }
  expected = next(sequence);
}

void DatagramLedger::received(const void* data, size_t size, const InetAddress& from) {
  const auto is_it = [&](const Expected& one) {
    return one.at == data && one.bytes.size() == size && one.from == from &&
           std::memcmp(data, one.bytes.data(), size) == 0;
  };
  while (!expected_.empty() && expected_.front().perhaps && !is_it(expected_.front())) {
    expected_.pop_front();
  }
  MUST(!expected_.empty() && is_it(expected_.front()));
  expected_.pop_front();
  ++counts_.taken;
}

void DatagramLedger::nothing_left() const {
  for (const Expected& one : expected_) MUST(one.perhaps);
}

}  // namespace sio::test
