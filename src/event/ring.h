// SPDX-License-Identifier: BSD-2-Clause
//
// The ring of events. Invariants:
// 1. Used under the channel's lock only.
// 2. An entry that was put in stays until it is taken or its source drops it: never overwritten.
// 3. The records may lie in the program's memory and be scribbled on, so nothing is decided by
//    what they hold; that is in the notes beside them.
#pragma once

#include <sio/ec.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace sio::internal {

class EventSource;

// What the library remembers of an event in the ring.
struct EventNote {
  EventSource* source = nullptr;  // nullptr: dropped, or of nobody (ec_post)
  uint32_t kind = 0;              // 0: dropped
  uint32_t slot = 0;              // EC_RECV: where the message lies, for taking it back
  uint32_t offset = 0;
};

class EventRing {
 public:
  // entries: a power of two, or 0 for a ring that takes nothing. memory: the program's, or NULL.
  EventRing(event_data_t* memory, size_t entries)
      : own_(memory == nullptr ? entries : 0),
        records_(memory == nullptr ? own_.data() : memory),
        notes_(entries),
        capacity_(entries),
        mask_(entries == 0 ? 0 : entries - 1) {}

  size_t capacity() const noexcept { return capacity_; }
  bool empty() const noexcept { return live_ == 0; }
  size_t pushed() const noexcept { return tail_; }  // ever
  size_t popped() const noexcept { return head_; }
  bool full() const noexcept { return tail_ - head_ == capacity_; }

  size_t room() const noexcept { return capacity_ - (tail_ - head_); }

  // Precondition: not full. The caller fills in the record.
  event_data_t& push(const EventNote& note) noexcept {
    const size_t at = tail_++ & mask_;
    notes_[at] = note;
    ++live_;
    return records_[at];
  }

  // Takes the oldest event, and says what was remembered of it, which stands until something is put
  // in; NULL: there is none.
  const EventNote* pop(event_data_t& event) noexcept {
    while (head_ != tail_) {
      const size_t at = head_++ & mask_;
      if (notes_[at].kind == 0) continue;
      event = records_[at];
      --live_;
      return &notes_[at];
    }
    return nullptr;
  }

  // The same if it is an event of which nobody hears that it was taken; false: it is not, or there
  // is none.
  bool pop_unnoticed(event_data_t& event) noexcept {
    const EventNote& note = notes_[head_ & mask_];
    if (live_ == 0 || (note.kind != EC_RECV && (note.source != nullptr || note.kind == 0))) {
      return false;
    }
    event = records_[head_++ & mask_];
    --live_;
    return true;
  }

  // Drops the events of `source` for which `which(note)` is true.
  template <typename Which>
  void drop(const EventSource* source, Which which) noexcept {
    for (size_t i = head_; i != tail_; ++i) {
      EventNote& note = notes_[i & mask_];
      if (note.kind == 0 || note.source != source || !which(note)) continue;
      note = {};
      --live_;
    }
    // So that a ring that is empty is never full.
    while (head_ != tail_ && notes_[head_ & mask_].kind == 0) ++head_;
  }

  // Those of whose events some are here.
  template <typename Use>
  void for_each_source(Use use) const {
    for (size_t i = head_; i != tail_; ++i) {
      const EventNote& note = notes_[i & mask_];
      if (note.kind != 0 && note.source != nullptr) use(note.source);
    }
  }

  // Events of `source` stay, but nobody is told any more when they are taken.
  void disown(const EventSource* source) noexcept {
    for (size_t i = head_; i != tail_; ++i) {
      EventNote& note = notes_[i & mask_];
      if (note.source == source) note.source = nullptr;
    }
  }

 private:
  size_t live_ = 0;  // entries that were not dropped
  size_t head_ = 0;  // counts on for ever; & mask_ is the place
  size_t tail_ = 0;
  std::vector<event_data_t> own_;
  event_data_t* records_;
  std::vector<EventNote> notes_;
  size_t capacity_;
  size_t mask_;
};

}  // namespace sio::internal
