// SPDX-License-Identifier: BSD-2-Clause
//
// What a datagram socket may send and must give out (docs/protocol.md, Datagrams), written down
// apart from the library.
#pragma once

#include <infiniband/verbs.h>

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/inet_address.h"

namespace sio::test {

using internal::InetAddress;

// The fields of a datagram's header that say where it came from and was sent to, without ports.
struct Header {
  InetAddress from;
  InetAddress to;
};
// None: it is no header of IP.
std::optional<Header> header_of(const char* grh);
// The 40 bytes that a device puts before a datagram.
std::string header_from(const InetAddress& from, const InetAddress& to);

class DatagramLedger {
 public:
  InetAddress name;      // of the socket
  InetAddress source;    // that it sends from
  uint32_t sources = 0;  // that it remembers

  // Sending. The number of the message; it was not accepted, after all.
  uint64_t offers(const InetAddress& to, const std::string& message);
  void takes_back(const InetAddress& to);
  // One that goes nowhere has its number, too.
  void numbers(const InetAddress& to, uint32_t imm_data);
  void sent(const InetAddress& to, uint32_t imm_data, const std::string& payload);
  bool has_left(uint64_t number) const { return left_.contains(number); }

  // What the program wants. While a call is under way, or its end is not known, either may be so.
  enum class Wish { kNo, kPerhaps, kYes };
  void connects(const InetAddress& peer, Wish wish) { peer_ = peer, connected_ = wish; }
  void joins(const InetAddress& group, Wish wish) { groups_[group_key(group)] = wish; }

  // A datagram that was put into a receive, when the library takes it.
  void came_up(const ibv_wc& wc, const char* at, const std::string& bytes, uint32_t queue_pair);
  // What the program gets.
  void received(const void* data, size_t size, const InetAddress& from);
  // Nothing more, once the socket is closed.
  void closes() { closed_ = true; }
  // It was told that there is no more.
  void nothing_left() const;

  struct Counts {
    uint64_t odd = 0, unwanted = 0, lost = 0, late = 0;
    uint64_t came = 0, taken = 0;
    bool exact = true;  // that of the library is the same
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Offered {
    uint64_t number;
    std::string bytes;
  };
  struct Expected {
    const char* at;
    std::string bytes;
    InetAddress from;
    bool perhaps;
  };
  struct Key {
    std::string bytes;
    bool operator<(const Key& other) const { return bytes < other.bytes; }
  };

  static Key key(const InetAddress& address);
  static Key group_key(const InetAddress& group) { return key(group.with_port(0).with_scope(0)); }
  // kNo: it is `odd`, or not wanted.
  Wish judge(const ibv_wc& wc, const std::string& bytes, uint32_t queue_pair, bool& odd,
             Expected& found, InetAddress& group) const;
  void count_missing(const InetAddress& from, const InetAddress& group, uint16_t sequence);

  std::map<Key, std::deque<Offered>> offered_;
  std::map<Key, uint16_t> sequences_;  // of the last that was sent there
  std::set<uint64_t> left_;
  uint64_t offers_ = 0;

  InetAddress peer_;
  Wish connected_ = Wish::kNo;
  std::map<Key, Wish> groups_;
  std::map<Key, uint16_t> next_;  // of each source
  std::deque<Expected> expected_;
  Counts counts_;
  bool closed_ = false;
};

}  // namespace sio::test
