// SPDX-License-Identifier: BSD-2-Clause
//
// What crosses UDP: a message or a question, with a header that says from which queue pair to
// which; docs/protocol.md has the table. And the 40 bytes before a received message, as RoCE v2
// leaves them there: an IPv6 header, or 20 bytes of nothing and an IPv4 header.
#pragma once

#include <netinet/in.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "provider/provider.h"

namespace sio::internal::provider::soft {

struct DatagramHeader {
  static constexpr size_t kSize = 24;
  static constexpr uint8_t kSolicited = 1;

  enum class Kind : uint8_t {
    kMessage = 1,
    kMessageImmediate = 2,
    kWho = 3,   // is anybody here? `immediate` comes back with the answer
    kHere = 4,  // `source` is; 0: nobody who wants to be found
  };

  Kind kind{};
  uint8_t flags = 0;
  uint32_t destination = 0;  // number of a queue pair
  uint32_t source = 0;
  uint32_t key = 0;
  uint32_t immediate = 0;  // as in ibv_wc.imm_data: in network byte order, whatever it means
};
using DatagramBytes = std::array<char, DatagramHeader::kSize>;

// Longest message, bytes: what the port says of itself.
constexpr uint32_t kDatagramMtu = 4096;
// Where datagrams to groups go: to this port, whichever is the receivers' own, as RoCE has but one;
// and to this number, as InfiniBand has it.
constexpr uint16_t kGroupPort = 18516;
constexpr uint32_t kGroupNumber = 0xffffff;
// Of all queue pairs that rdma_cm makes for datagrams: RDMA_UDP_QKEY in rdma/rdma_cma.h.
constexpr uint32_t kDatagramKey = 0x01234567;

DatagramBytes encode(const DatagramHeader& header) noexcept;
// False: not one of ours.
bool decode(const DatagramBytes& bytes, DatagramHeader& header) noexcept;

// The first kGrhBytes of a receive, of a message of so many bytes. The port that it came from, for
// which RoCE has no use, is where the flow label of an IPv6 header is.
void write_grh(char* to, const sockaddr_storage& from, const sockaddr_storage& at,
               size_t size) noexcept;
sockaddr_storage read_grh(const void* grh) noexcept;

// A destination is an address of UDP, which ibv_send_wr names by this.
struct SoftAddressHandle : ibv_ah {
  sockaddr_storage address{};
};

class SoftDestination final : public Destination {
 public:
  SoftDestination(const sockaddr_storage& address, uint32_t queue_pair) : number_(queue_pair) {
    handle_.address = address;
  }
  ibv_ah* handle() const noexcept override { return &handle_; }
  uint32_t queue_pair() const noexcept override { return number_; }
  uint32_t key() const noexcept override { return kDatagramKey; }
  const sockaddr_storage& address() const noexcept { return handle_.address; }

 private:
  mutable SoftAddressHandle handle_{};  // verbs wants it writable, and nobody writes
  uint32_t number_;
};

}  // namespace sio::internal::provider::soft
