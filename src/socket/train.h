// SPDX-License-Identifier: BSD-2-Clause
//
// The train: messages and announcements that gather while enough SENDs are in flight, and leave in
// one SEND. On a stream: bytes, one after the other.
#pragma once

#include <infiniband/verbs.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "socket/staging.h"
#include "wire/frame.h"

namespace sio::internal {

// Messages longer than this are gathered where they lie; shorter ones are copied, which costs
// less than two more gather entries and the header between them.
inline constexpr uint32_t kCopyInTrain = 512;
inline constexpr uint32_t kMaxGather = 16;

class Train {
 public:
  // Limits of the connection: bytes of the peer's slot, gather entries of the queue pair.
  void set_limits(uint32_t slot_size, uint32_t max_sge, bool framed) noexcept {
    framed_ = framed;
    most_bytes_ = std::min(slot_size, kTrainBytes);
    most_sges_ = std::min(max_sge, kMaxGather);
  }

  bool empty() const noexcept { return messages_ == 0; }
  uint32_t messages() const noexcept { return messages_; }
  uint32_t records() const noexcept { return records_; }
  uint32_t announced() const noexcept { return announced_; }

  // Whether a message of `length` can still come along. Alone any message can.
  bool has_room(uint32_t length, bool copied) const noexcept {
    if (empty()) return true;
    if (alone_too_long_ || bytes_ + size_on_wire(length) > most_bytes_) return false;
    if (copied) return in_buffer_ || sges_ < most_sges_;
    return framed_ ? sges_ + 2 < most_sges_ : sges_ < most_sges_;
  }

  // Whether two of that length can travel together. If not, one has nothing to wait for.
  bool gathers(uint32_t length) const noexcept { return 2 * size_on_wire(length) <= most_bytes_; }
  // The same of what is in it.
  bool may_gather() const noexcept {
    return messages_ > 1 || first_announced_ || gathers(first_length_);
  }

  // Precondition: has_room, and when empty a buffer was given.
  void begin(StagingBuffer* buffer) noexcept { buffer_ = buffer; }
  void add_copy(const void* data, uint32_t length) noexcept {
    add_filled(length, [=](char* to) { std::memcpy(to, data, length); });
  }
  // fill(to) writes the message.
  template <typename Fill>
  void add_filled(uint32_t length, Fill fill) noexcept {
    char* at = add_header(length);
    fill(at);
    add_padding(length, length);
  }
  void add_gathered(const void* data, uint32_t length, uint32_t lkey) noexcept {
    add_header(length);
    ibv_sge& sge = sge_[sges_++];
    sge = {reinterpret_cast<uintptr_t>(data), length, lkey};
    in_buffer_ = false;
    add_padding(length, 0);
  }
  void add_record() noexcept { ++records_; }
  // Of a message on the bulk lane.
  void add_announcement(uint32_t length) noexcept {
    ++announced_;
    if (messages_++ == 0) first_announced_ = true;
    bytes_ += wire::kRecordHeader;
    wire::encode_record_header(buffer_->data + used_, length, true);
    extend(wire::kRecordHeader);
  }

  // What to send: a lone message goes without its header.
  struct Load {
    ibv_sge* sges;
    int count;
    uint32_t bytes;
    bool lone;
  };
  Load load() noexcept {
    if (!framed_) return {sge_, static_cast<int>(sges_), bytes_, true};
    if (messages_ > 1 || first_announced_) return {sge_, static_cast<int>(sges_), bytes_, false};
    if (first_length_ == 0) return {sge_, 0, 0, true};
    if (sges_ > 1) return {sge_ + 1, 1, first_length_, true};  // header, message, padding
    sge_[0].addr += wire::kRecordHeader;
    sge_[0].length = first_length_;
    return {sge_, 1, first_length_, true};
  }

  // Sent: whose buffer goes with the SEND.
  StagingBuffer* depart() noexcept {
    messages_ = records_ = announced_ = bytes_ = sges_ = used_ = 0;
    in_buffer_ = alone_too_long_ = first_announced_ = false;
    return std::exchange(buffer_, nullptr);
  }

 private:
  uint32_t size_on_wire(uint32_t length) const noexcept {
    return framed_ ? wire::record_size(length) : length;
  }

  // Extends the gather entry that ends where the buffer is filled to, or begins one.
  void extend(uint32_t n) noexcept {
    if (in_buffer_) {
      sge_[sges_ - 1].length += n;
    } else {
      sge_[sges_++] = {reinterpret_cast<uintptr_t>(buffer_->data + used_), n, buffer_->lkey};
      in_buffer_ = true;
    }
    used_ += n;
  }

  // Returns where the payload goes if it is copied.
  char* add_header(uint32_t length) noexcept {
    if (messages_++ == 0) {
      first_length_ = length;
      alone_too_long_ = size_on_wire(length) > most_bytes_;
    }
    bytes_ += size_on_wire(length);
    char* at = buffer_->data + used_;
    if (!framed_) return at;
    wire::encode_record_header(at, length);
    extend(wire::kRecordHeader);
    return at + wire::kRecordHeader;
  }

  // `copied` bytes of payload lie in the buffer already; then zeros up to the alignment.
  void add_padding(uint32_t length, uint32_t copied) noexcept {
    const uint32_t padding = framed_ ? wire::record_size(length) - wire::kRecordHeader - length : 0;
    if (copied + padding == 0) return;
    if (padding > 0) std::memset(buffer_->data + used_ + copied, 0, padding);
    extend(copied + padding);
  }

  StagingBuffer* buffer_ = nullptr;
  bool framed_ = true;  // each message has its header
  uint32_t most_bytes_ = 0;
  uint32_t most_sges_ = 0;
  uint32_t used_ = 0;   // bytes of the buffer
  uint32_t bytes_ = 0;  // on the wire, as a train
  uint32_t messages_ = 0;
  uint32_t records_ = 0;  // messages that owe an outcome
  uint32_t announced_ = 0;
  uint32_t first_length_ = 0;
  uint32_t sges_ = 0;
  bool in_buffer_ = false;  // the last gather entry ends at used_
  bool first_announced_ = false;
  bool alone_too_long_ = false;  // the one message fills a slot without a header
  ibv_sge sge_[kMaxGather + 2];
};

}  // namespace sio::internal
