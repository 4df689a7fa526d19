// SPDX-License-Identifier: BSD-2-Clause
//
// Receive memory that sockets of one channel share (DMA_SHARED): a region whose slots are posted to
// a shared receive queue, and a pool for messages larger than a slot. Used under the channel's
// lock.
//
// 1. A slot is posted; or filled and in the region's hands, until it is collected; or unposted_.
//    Each goes back to the shared receive queue, whoever used it.
// 2. Which connection a completed receive is of, the completion's queue pair number says. One of a
//    queue pair that has gone is nobody's: the slot goes back.
// 3. Who may use how many, leases.h says. A frame that a peer had no credit for ends its
//    connection.
// 4. While somebody waits for credits and finds none, or a newcomer would find no room, idle peers
//    are asked every few milliseconds to give back what they do not need for their next message: as
//    many as it takes, of those of which no message has come since the last such time. One that
//    does not answer is not asked again.
// 5. Nothing is flushed with a queue pair: draining a connection does not wait for receives. One
//    that ends within a message may even keep the receive (rxe of Linux 6.12 says no more of it),
//    and nobody can tell which that was. So the shared receive queue goes with the last connection,
//    and the next one gets another, to which all slots are posted that the program does not hold.
#pragma once

#include <boost/intrusive/list.hpp>
#include <memory>
#include <unordered_map>
#include <vector>

#include "event/channel.h"
#include "memory/bulk_pool.h"
#include "memory/region.h"
#include "provider/provider.h"
#include "socket/bulk_turns.h"
#include "socket/leases.h"
#include "socket/receives.h"

namespace sio::internal {

class SharedReceives final : public CompletionHandler,
                             public std::enable_shared_from_this<SharedReceives> {
 public:
  // What those who share agree on.
  struct Geometry {
    Area* area;
    size_t bytes;
    uint32_t slot_size;
    uint32_t slots;  // with those of control frames

    bool operator==(const Geometry&) const = default;
  };

  // Takes the memory. Throws ENOBUFS.
  SharedReceives(Channel& channel, const Geometry& geometry);
  ~SharedReceives();
  SharedReceives(const SharedReceives&) = delete;
  SharedReceives& operator=(const SharedReceives&) = delete;

  const Geometry& geometry() const noexcept { return geometry_; }
  // The first device is the one: a queue belongs to one. Null: whichever.
  bool serves(const provider::Device* device) const noexcept {
    return device == nullptr || device_ == nullptr || device_ == device;
  }
  // Makes the queue and posts all receives, if there is none. Throws.
  void open(provider::Device& device);

  // For a connection, in this order: its share (throws ENOBUFS: there is no room for another), a
  // seat in a completion queue that takes shared receives too, the queue.
  std::unique_ptr<Receives> share(Link& link, CompletionHandler& socket);
  CompletionHub::Seat join(uint32_t entries, CompletionHandler* handler);
  provider::SharedReceiveQueue& queue() noexcept { return *queue_; }

  BulkPool* pool() noexcept { return pool_ ? &*pool_ : nullptr; }
  BulkTurns& turns() noexcept { return turns_; }

  // Slots or memory came back, perhaps in a thread that held another lock.
  void look() noexcept;

  // CompletionHandler.
  void complete(wire::Work kind, uint32_t index, const ibv_wc& wc) noexcept override;
  void settle() noexcept override;
  void before_sleep() noexcept override {}

 private:
  // No time to one that waits for a connection, and mostly longer than a peer that is at work
  // pauses. Twice as long after each time that somebody was asked, until one answers: or as many
  // would be asked as there are, where an answer takes long.
  static constexpr milliseconds kRecallEvery{5};
  static constexpr milliseconds kRecallAtLeast{160};

  class Share;
  struct Waiting : boost::intrusive::list_base_hook<> {};  // is a share

  // There is no connection any more.
  void close() noexcept;
  void drop_queue() noexcept;
  // Posts what came back: 0 or -errno.
  int repost() noexcept;
  void give_back(uint32_t slot) noexcept;
  void attend(Share& share) noexcept;
  void serve() noexcept;
  void serve_waiting() noexcept;
  uint32_t lacking() const noexcept;
  void recall_later() noexcept;
  void recall() noexcept;
  static void note(void* channel) noexcept {
    static_cast<Channel*>(channel)->look_at_extension_later();
  }

  Channel& channel_;
  const Geometry geometry_;
  Region* const region_;
  std::unique_ptr<BulkPool> pool_;
  BulkTurns turns_;
  Leases leases_;
  Leases::Lease gone_;                   // what connections that have ended left with the program
  std::vector<Leases::Lease*> holders_;  // by slot: whose data is there, or null
  std::vector<uint32_t> unposted_;       // slots
  std::unordered_map<uint32_t, Share*> members_;  // by queue pair number
  boost::intrusive::list<Waiting> waiting_;       // may be given credits when there are any
  bool serving_ = false;
  bool serve_again_ = false;
  TimePoint recalls_ = kNever;  // when idle peers are asked
  milliseconds recall_pause_ = kRecallEvery;
  bool nobody_gives_ = false;  // or has more than its least: so it was found, and is still

  provider::Device* device_ = nullptr;
  std::vector<CompletionHub::Seat> seats_;  // one in each completion queue that is used
  std::unique_ptr<provider::SharedReceiveQueue> queue_;
  ReceiveChain chain_;  // for that
};

}  // namespace sio::internal
