// SPDX-License-Identifier: BSD-2-Clause
//
// The messages that lent a buffer, from sio_send until the program has its buffer back. Used under
// the channel's lock.
//
// 1. In the order of sio_send: taken_ <= told_ <= done_ <= accepted_, taken_ <= returned_ <= done_.
// 2. A buffer is the library's until the program has taken its EC_SENT from the ring or sio_flush
//    has said that all is acknowledged; on a socket without a channel, and with SIO_RELEASE, until
//    its message is acknowledged or has failed.
// 3. Messages on the two lanes are done in either order; the program is told in the order of
//    sio_send.
// 4. They outlive the connection, whose end is an outcome too.
#pragma once

#include <cstdint>
#include <vector>

#include "memory/area.h"
#include "socket/completion.h"

namespace sio::internal {

// A message that lent us its buffer, or of which somebody else than the program is to hear.
struct SendRecord {
  const void* buf;
  size_t len;
  Flight flight = {};                // area NULL: nothing was lent
  Completion* completion = nullptr;  // hears of it (then it is silent)
  int error = 0;
  bool release = false;   // SIO_RELEASE: nobody is told, the area gets it back
  bool silent = false;    // nobody is told: the record before it, of the same message, is
  bool bulk = false;      // on the lane for large messages, which is done in an order of its own
  bool finished = false;  // perhaps before some that were sent earlier
};

class Outcomes {
 public:
  // For the next messages: whether the program is told of each (sockets in a channel).
  void prepare(bool told);

  // Whether there is room for another message, or n pieces of one.
  bool full(uint32_t n = 1) const noexcept { return accepted_ - taken_ + n > kMostRecords; }
  bool make_room(uint32_t n = 1) noexcept { return has_room(n) || grow(n); }
  // Whether make_room() would make any, if there is memory. It is asked for again once a message
  // has been taken.
  bool may_have_room(uint32_t n = 1) const noexcept {
    return !full(n) && (has_room(n) || !no_memory_);
  }
  void add(const SendRecord& record) noexcept {
    if (!is_told(record)) ++not_told_;
    at(accepted_++) = record;
  }
  void add_bulk(const SendRecord& record) noexcept {
    add(record);
    at(accepted_ - 1).bulk = true;
    ++bulk_;
  }

  // What became of the n oldest that are under way: of those on either lane.
  void finish(uint32_t n, int error) noexcept;
  void finish_bulk(uint32_t n, int error) noexcept {
    if (n > 0) finish_lane(n, error, true);
  }
  // Of those that are done in no order: the next to be added will have this place, and what became
  // of one.
  uint32_t next_place() const noexcept { return accepted_; }
  void finish_at(uint32_t place, int error) noexcept;
  bool under_way() const noexcept { return done_ != accepted_; }

  // If all that are done are told: the next to be done, if nothing else can be, and the program
  // will be told of it.
  const SendRecord* next_to_tell() noexcept {
    return under_way() && not_told_ == 0 && bulk_ == 0 && taken_ == done_ ? &at(done_) : nullptr;
  }
  // The oldest that the program was not told of; NULL: none.
  const SendRecord* untold() noexcept;
  void told() noexcept { ++told_; }
  bool all_told() const noexcept { return told_ == done_; }
  // The program has taken the event of the oldest that it was told of.
  void taken() noexcept;
  bool all_taken() const noexcept { return taken_ == accepted_; }

  // The buffers of all that are done are the program's, whether it has taken their events or not.
  void give_back() noexcept;

  // The end: nobody will take an event any more. All are done.
  void drop() noexcept {
    give_back();
    told_ = taken_ = done_;
    not_told_ = 0;
  }

 private:
  static constexpr uint32_t kMostRecords = 1024;

  bool has_room(uint32_t n) const noexcept { return accepted_ - taken_ + n <= records_.size(); }
  SendRecord& at(uint32_t index) noexcept { return records_[index & (records_.size() - 1)]; }
  bool is_told(const SendRecord& record) const noexcept {
    return tell_ && !record.release && !record.silent;
  }
  bool grow(uint32_t n) noexcept;
  void finish_lane(uint32_t n, int error, bool bulk) noexcept;
  void finish(SendRecord& record, int error) noexcept;
  void pass_over_untold() noexcept {
    if (not_told_ > 0) pass_over_those_not_told();
  }
  void pass_over_those_not_told() noexcept;

  uint32_t done_ = 0;
  uint32_t told_ = 0;
  std::vector<SendRecord> records_;
  bool tell_ = false;
  uint32_t accepted_ = 0;
  uint32_t bulk_ = 0;      // between done_ and accepted_: those on the lane for large messages
  uint32_t not_told_ = 0;  // from taken_ on: those of which no event comes; mostly none
  uint32_t taken_ = 0;
  uint32_t returned_ = 0;   // those before it have their buffers back
  bool no_memory_ = false;  // to grow; tried again when a message has been taken
};

}  // namespace sio::internal
