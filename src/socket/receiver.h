// SPDX-License-Identifier: BSD-2-Clause
//
// The receiving half of a connection: slots and the messages in them. Used under the channel's
// lock.
//
// 1. Each slot is posted, filled (filled.h, in the order of arrival), handed out, or returned
//    and waiting to be posted again (receives.h).
// 2. Messages are handed out in the order of arrival. When the program does not take them they
//    stay among those that are filled, where there is room for all that the peer may send.
// 3. On a stream each slot has bytes, which are handed out in any portions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "base/static_probe.h"
#include "memory/region.h"
#include "socket/bulk_receiver.h"
#include "socket/filled.h"
#include "socket/link.h"
#include "socket/receives.h"
#include "wire/frame.h"

namespace sio::internal {

// slot kNoSlot: it came on the bulk lane, and `offset` is its block.
struct IncomingMessage {
  void* data;
  uint32_t length;
  uint32_t slot;
  uint32_t offset;
};

class alignas(64) Receiver {
 public:
  Receiver(Link& link, std::unique_ptr<Receives> receives, bool stream);
  ~Receiver();
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  // A lone message came while none waits before it: it is the program's at once. Part of what is
  // called for each message.
  [[gnu::always_inline]] IncomingMessage deliver(uint32_t slot, uint32_t length) noexcept {
    receives_->completed();
    count(length);
    return {region_->deliver(slot, length), length, slot, 0};
  }
  // The same of bytes of a stream, more than none.
  IncomingMessage deliver_bytes(uint32_t slot, uint32_t length) noexcept {
    receives_->completed();
    count(length);
    return {region_->deliver_bytes(slot, length), length, slot, 0};
  }
  // A receive completed. The slot of what is no message goes straight back.
  void message(uint32_t slot, uint32_t length) noexcept;  // of a stream: bytes, more than none
  bool train(uint32_t slot, uint32_t length) noexcept;    // false: malformed
  // Its payload, before control() takes the slot.
  const char* peek_control(uint32_t slot) const noexcept { return region_->slot(slot); }
  void control(uint32_t slot) noexcept {
    receives_->completed();
    receives_->give_back(slot);
  }
  // Nobody wants it: the slot is lost to the connection.
  void discard(uint32_t slot) noexcept {
    receives_->completed();
    receives_->discard(slot);
  }
  void failed() noexcept { receives_->completed(); }

  // The next message without taking it; false: none. Malformed after all (somebody wrote into
  // the slot): `broken()`.
  bool peek(IncomingMessage& message) noexcept;
  // It is the program's now. Precondition: it was peeked at. True: there may be something to post
  // or to grant for that.
  bool take(const IncomingMessage& message) noexcept;
  // The next ones are those of a train, if so without peeking: use(message) gets the first of them,
  // `most` at most (more than 0), which are the program's now.
  bool in_train() const noexcept {
    return !have_next_ && !at_announcement_ && !filled_.empty() && filled_.front().train &&
           !broken_;
  }
  template <typename Use>
  void take_of_train(size_t most, Use use) noexcept;
  // On a stream: its first n bytes, which are not none.
  void take_bytes(uint32_t n) noexcept;
  // The program never saw it: back into the slot's account.
  void take_back(uint32_t slot, uint32_t offset) noexcept {
    slot == kNoSlot ? bulk_->take_back(offset) : region_->take_back(slot, offset);
  }
  bool broken() const noexcept { return broken_; }
  bool empty() const noexcept { return filled_.empty(); }
  bool has_next() const noexcept {
    return have_next_ || (!filled_.empty() && !broken_ && !waits_for_bulk());
  }
  // The next one was announced, and has not come yet.
  bool waits_for_bulk() const noexcept { return at_announcement_ && !bulk_->here(); }

  // There is a lane for large messages now.
  void set_bulk(BulkReceiver* bulk) noexcept { bulk_ = bulk; }

  // What arrives is not wanted any more.
  void drop_all() noexcept;

  Receives& receives() const noexcept { return *receives_; }
  Region* region() const noexcept { return region_; }
  dma_mem_t memory() const noexcept { return memory_; }  // the region's

 private:
  using Filled = FilledSlots::Filled;
  void fill(Filled filled) noexcept;
  bool read_record(const Filled& filled, wire::Record& record) noexcept;
  void count(uint32_t length) noexcept {
    STATIC_PROBE(receive, link_.fd, length, link_.info.messages_received);
    ++link_.info.messages_received;
    link_.info.bytes_received += length;
  }
  void next_filled() noexcept;

  Link& link_;
  const std::unique_ptr<Receives> receives_;
  Region* const region_;    // of these
  const dma_mem_t memory_;  // of that
  BulkReceiver* bulk_ = nullptr;
  const bool stream_;
  FilledSlots& filled_;           // of these, too
  wire::TrainReader reader_;      // of the train at the head
  bool reading_ = false;          // reader_ is set
  bool have_next_ = false;        // next_ was read and not taken; it lies in what is filled
  bool at_announcement_ = false;  // was read: the next one is that of the bulk lane
  IncomingMessage next_{};
  bool broken_ = false;
};

template <typename Use>
void Receiver::take_of_train(size_t most, Use use) noexcept {
  constexpr size_t kAtOnce = 32;
  wire::Record records[kAtOnce];
  const Filled filled = filled_.front();
  char* const data = region_->slot(filled.slot);
  uint32_t n = 0;
  bool whole = false;
  while (n < std::min(most, kAtOnce) && !whole && read_record(filled, records[n])) {
    ++n;
    whole = reader_.at_end();
  }
  region_->prepare_to_hand_out(filled.slot, n);
  for (uint32_t i = 0; i < n; ++i) {
    const wire::Record& record = records[i];
    region_->hand_out_prepared(filled.slot, record.offset, record.length);
    count(record.length);
    use(IncomingMessage{data + record.offset, record.length, filled.slot, record.offset});
  }
  if (whole) next_filled();
}

}  // namespace sio::internal
