// SPDX-License-Identifier: BSD-2-Clause
//
// The receiving half of a datagram socket: slots, who has sent what is in them, and what is
// missing. Used under the channel's lock.
//
// 1. Each slot is posted, filled (in filled_, in the order of arrival), handed out, or returned and
//    waiting to be posted again. With none posted the device drops what comes.
// 2. A slot holds the sender's address, the bytes that the device puts before a datagram, and the
//    payload. What is believed of a datagram is taken from the slot before the program sees it.
// 3. Of each source of late the next sequence number is known. There are as many of them as
//    SIO_DATAGRAM_PEERS says; that which was silent longest is forgotten.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "base/inet_address.h"
#include "base/lru_table.h"
#include "memory/region.h"
#include "socket/link.h"
#include "wire/datagram.h"

namespace sio::internal {

class DatagramGroups;

// As the program gets it.
struct IncomingDatagram {
  void* data;
  uint32_t length;
  uint32_t slot;
  InetAddress from;
  const sockaddr* name;  // the same in the slot
};

// What is known of who has sent something: enough to answer, and to see what is missing.
struct DatagramSource {
  uint16_t expected = wire::kFirstSequence;  // the next; kFirstSequence: nothing has come yet
  uint32_t queue_pair = 0;
  ibv_wc wc{};  // of the last one that came to us alone, with the bytes before it
  std::array<char, wire::kGrhBytes> grh{};
  TimePoint heard{};
};

class DatagramReceiver {
 public:
  // Where the payload begins in a slot, and what comes before it.
  static constexpr uint32_t kPayload = 64;
  // Nothing longer comes out of any port.
  static constexpr uint32_t kLargest = 4096;
  static constexpr uint32_t kSlotBytes = kPayload + kLargest;

  DatagramReceiver(Link& link, const DatagramGroups& groups, uint32_t sources);
  ~DatagramReceiver();
  DatagramReceiver(const DatagramReceiver&) = delete;
  DatagramReceiver& operator=(const DatagramReceiver&) = delete;

  // Takes over the region, all of whose slots are free. on_returned as with Receiver.
  void prepare(Region* region, void (*on_returned)(void*), void* arg);
  // All slots. 0 or -errno.
  int post_all() noexcept;
  // Which port datagrams to groups must be for, and the scope of link-local addresses; and where
  // from this socket sends itself.
  void set_names(const InetAddress& name, const InetAddress& source) noexcept {
    name_ = name;
    source_ = source;
  }
  // Whose alone are wanted; one that is not set: anybody's.
  void accept_only(const InetAddress& peer) noexcept { only_ = peer; }

  // One has come. A source whose queue pair is another one than before: it, else not set.
  InetAddress received(uint32_t slot, const ibv_wc& wc) noexcept;
  void flushed(uint32_t slot) noexcept {
    --posted_;
    dropped_.push_back(slot);
  }

  bool has_next() const noexcept { return head_ != tail_; }
  // The next one, without taking it; false: none.
  bool peek(IncomingDatagram& datagram) const noexcept;
  void take(const IncomingDatagram& datagram) noexcept;
  // The program never saw it.
  void take_back(uint32_t slot) noexcept { region_->take_back(slot, kPayload); }
  void drop_all() noexcept;

  // Posts again what came back, if it is worth it. 0 or -errno.
  int post_returned() noexcept;

  // Who sent from this address lately; NULL: nobody.
  const DatagramSource* source(const InetAddress& address) noexcept;

  uint32_t posted() const noexcept { return posted_; }
  Region* region() const noexcept { return region_; }

 private:
  static constexpr uint32_t kPostBatch = 32;

  // A sender, and the group that it sent to (not set: to us).
  struct Stream {
    InetAddress from;
    InetAddress group;
    bool operator==(const Stream&) const noexcept = default;
    uint64_t hash(uint64_t seed) const noexcept {
      return from.hash(seed) ^ (group.is_set() ? mix(group.hash(seed), seed) : 0);
    }
  };
  struct Filled {
    uint32_t slot;
    uint32_t length;
    InetAddress from;
  };
  enum class Verdict : uint8_t { kTaken, kOdd, kUnwanted };

  Verdict judge(const char* slot, const ibv_wc& wc, Filled& filled, Stream& stream) const noexcept;
  bool is_our_own(const ibv_wc& wc, const InetAddress& from) const noexcept;
  DatagramSource* note_source(const Stream& stream) noexcept;
  void count_missing(DatagramSource& source, uint16_t sequence) noexcept;
  char* payload(uint32_t slot) const noexcept { return region_->slot(slot) + kPayload; }
  int post(const uint32_t* slots, uint32_t n) noexcept;

  Link& link_;
  const DatagramGroups& groups_;
  LruTable<Stream, DatagramSource> sources_;
  Region* region_ = nullptr;
  InetAddress name_;
  InetAddress source_;
  InetAddress only_;
  uint32_t slots_ = 0;
  uint32_t batch_ = 1;             // slots that are posted again at once
  uint32_t posted_ = 0;            // to the receive queue, not completed
  std::vector<uint32_t> dropped_;  // slots of what was not wanted, to be posted again
  std::vector<Filled> filled_;     // a ring with room for all slots
  uint32_t head_ = 0;
  uint32_t tail_ = 0;
};

}  // namespace sio::internal
