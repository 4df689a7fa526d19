// SPDX-License-Identifier: BSD-2-Clause
//
// The sending half of a datagram socket: its send queue. Used under the channel's lock.
//
// 1. Each SEND is signalled: a queue pair for datagrams has nothing else that would say whether the
//    last one has left. So the queue is as long as the quota, and is done in its order.
// 2. A destination lives as long as a SEND that names it is under way.
// 3. Each message that lent its buffer, or of which somebody is to hear, has records
//    (outcomes.h), which are done in no order: those whose destination is known pass the others.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "socket/gather.h"
#include "socket/link.h"
#include "socket/outcomes.h"
#include "wire/datagram.h"

namespace sio::internal {

// A message, ready to be posted.
struct OutgoingDatagram {
  static constexpr uint32_t kMostPieces = kMaxGather + 1;  // and the trailer

  std::array<ibv_sge, kMostPieces> pieces;
  uint32_t count = 0;
  uint32_t length = 0;              // of the payload
  bool inlined = false;             // pieces lie anywhere, until it is posted
  StagingBuffer* buffer = nullptr;  // else what is copied of it
  uint32_t first_record = 0;
  uint32_t records = 0;
  uint16_t trailer = 0;  // of an inlined one to a group, as on the wire
};

class DatagramSender {
 public:
  using To = std::shared_ptr<provider::Destination>;

  DatagramSender(Link& link, Outcomes& outcomes) noexcept : link_(link), outcomes_(outcomes) {}
  ~DatagramSender();
  DatagramSender(const DatagramSender&) = delete;
  DatagramSender& operator=(const DatagramSender&) = delete;

  // The queue pair is there, and takes so many SENDs.
  void prepare(uint32_t quota);

  bool has_room() const noexcept { return in_flight() < quota_; }
  bool idle() const noexcept { return posted_ == completed_; }
  uint32_t in_flight() const noexcept { return posted_ - completed_; }

  // Takes what the message needs besides its own memory. `group_port`: of one to a group, where it
  // is for; else 0. `keep`: it is not posted before the caller returns. 0, -EAGAIN, or -EMSGSIZE:
  // the device gathers fewer pieces. Then accept() or give_up().
  int stage(const Gather& gather, uint16_t group_port, bool keep, OutgoingDatagram& to) noexcept;
  void give_up(OutgoingDatagram& message) noexcept;
  // It has its outcome from now on: the gather's records.
  void accept(const Gather& gather, const SendRecord* copied, OutgoingDatagram& message) noexcept;
  // Precondition: has_room(). 0; or -errno, and it is done with, as failed.
  int post(OutgoingDatagram& message, const To& to, wire::DatagramTag tag) noexcept;
  // It will never be posted.
  void drop(OutgoingDatagram& message, int error) noexcept;

  void completed(uint32_t index, int error) noexcept;
  // All that is under way has failed, or may have.
  void fail(int error) noexcept;

 private:
  struct Post {
    StagingBuffer* buffer = nullptr;
    uint32_t first_record = 0;
    uint32_t records = 0;
    To to;
  };

  Post& at(uint32_t i) noexcept { return posts_[i & (posts_.size() - 1)]; }
  void finish(Post& post, int error) noexcept;

  Link& link_;
  Outcomes& outcomes_;
  bool joined_ = false;      // the staging pool
  uint32_t quota_ = 0;       // SENDs in flight at most
  std::vector<Post> posts_;  // a ring
  // Counts that go on for ever.
  uint32_t posted_ = 0;
  uint32_t completed_ = 0;
};

}  // namespace sio::internal
