// SPDX-License-Identifier: BSD-2-Clause
//
// Where the receives of a connection are posted, and come back from. Used under the channel's lock.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "memory/region.h"
#include "socket/filled.h"
#include "socket/link.h"
#include "wire/hello.h"

namespace sio::internal {

class Receives {
 public:
  // For data, first and at most.
  struct Credits {
    uint32_t first;
    uint32_t most;
  };

  virtual ~Receives() = default;
  Receives(const Receives&) = delete;
  Receives& operator=(const Receives&) = delete;

  Region& region() const noexcept { return region_; }
  const Credits& credits() const noexcept { return credits_; }
  // Has room for what the peer has credits for.
  FilledSlots& filled() noexcept { return filled_; }

  // The queue pair is there: posts what its peer may use first. 0 or -errno.
  virtual int begin() noexcept = 0;
  // The queue pair has gone.
  virtual void end() noexcept {}

  // A receive has completed, well or not. If well, what is in the slot goes through the region, or
  // is given up:
  void completed() noexcept { --posted_; }
  // to be posted again, and credited apart from data;
  virtual void give_back(uint32_t slot) noexcept = 0;
  // or to be nobody's: the connection ends.
  virtual void discard(uint32_t slot) noexcept = 0;
  // Slots went back to the region, of which nobody was told.
  virtual void dropped() noexcept {}

  // Slots with what the program has, or has to take.
  virtual uint32_t held() const noexcept { return region_.held(); }

  // Nothing is to be flushed any more.
  bool drained() const noexcept { return posted_ == 0; }

  // What is to be told to the peer.
  struct Due {
    uint32_t data = 0;  // credits
    uint32_t control = 0;
    bool recall = false;
  };
  // Posts again what came back, if it is a batch (force: whatever there is). 0 or -errno.
  virtual int post_returned(bool force, Due& due) noexcept = 0;
  // Whether post_returned() would do anything. If not, and the peer has no credit left, somebody
  // will ask again as soon as it would: such a peer brings no completion that makes us ask.
  virtual bool has_returned(bool force) noexcept = 0;

  // The peer gives back credits for data. False: nobody has asked it, or it has not so many.
  virtual bool refunded(uint32_t) noexcept { return false; }

 protected:
  // Throws ENOMEM.
  Receives(Link& link, Region& region, Credits credits)
      : link_(link), region_(region), credits_(credits) {
    link_.peer_credits = credits.first;
    if (!filled_.reserve(credits.first + wire::kControlSlots)) throw std::bad_alloc();
  }

  Link& link_;
  Region& region_;
  const Credits credits_;
  uint32_t posted_ = 0;  // to the queue pair, not completed
  FilledSlots filled_;
};

// A chain of receives for slots of a region, in which only what differs is written each time.
class ReceiveChain {
 public:
  static constexpr uint32_t kMost = 16;  // a quarter of the usual slots, as are posted at once

  // Before the first one.
  void prepare(const Region& region, uint32_t lkey) noexcept;
  // Posts these on a queue, kMost at most. How many were taken; `error`: 0 or -errno.
  template <typename Queue>
  uint32_t post(Queue& queue, const CompletionHub::Seat& seat, const uint32_t* slots, uint32_t n,
                int& error) noexcept;

 private:
  uintptr_t base_ = 0;  // of slot 0
  ibv_recv_wr wrs_[kMost];
  ibv_sge sges_[kMost];
};

template <typename Queue>
uint32_t ReceiveChain::post(Queue& queue, const CompletionHub::Seat& seat, const uint32_t* slots,
                            uint32_t n, int& error) noexcept {
  const uint64_t id = seat.work_id(wire::Work::kReceive, 0);
  const size_t size = sges_[0].length;
  for (uint32_t i = 0; i < n; ++i) {
    sges_[i].addr = base_ + slots[i] * size;
    wrs_[i].wr_id = id | slots[i];
  }
  ibv_recv_wr* const behind = std::exchange(wrs_[n - 1].next, nullptr);
  ibv_recv_wr* bad = nullptr;
  error = queue.post_recv(wrs_, &bad);
  wrs_[n - 1].next = behind;
  return error == 0 ? n : static_cast<uint32_t>(bad - wrs_);
}

// Of the queue pair's own.
class OwnReceives final : public Receives {
 public:
  // Takes over the region, all of whose slots are free. `on_returned(arg)`: the program has given
  // back enough slots that post_returned() is worth a call.
  OwnReceives(Link& link, Region& region, void (*on_returned)(void*), void* arg);
  ~OwnReceives() override { region_.detach(); }

  int begin() noexcept override;
  void give_back(uint32_t slot) noexcept override { control_slots_.push_back(slot); }
  void discard(uint32_t) noexcept override {}
  int post_returned(bool force, Due& due) noexcept override;
  bool has_returned(bool force) noexcept override;

 private:
  // So many are worth posting. Whoever has nothing left to send with may wait for a single one.
  uint32_t least(bool force) const noexcept {
    return force || link_.peer_credits == 0 ? 1 : batch_;
  }
  int post(const uint32_t* slots, uint32_t n) noexcept;

  ReceiveChain chain_;
  const uint32_t batch_;                 // slots that are posted again at once, mostly
  std::vector<uint32_t> control_slots_;  // used up by control frames, to be posted again
};

}  // namespace sio::internal
