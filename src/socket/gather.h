// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "socket/outcomes.h"
#include "socket/train.h"

namespace sio::internal {

// A message as send() takes it.
struct OutgoingMessage {
  const void* data;
  uint32_t length;
  uint32_t lkey;             // of the area that it lies in
  const SendRecord* record;  // NULL: nobody is owed an outcome

  // Else it is copied from elsewhere.
  bool is_lent() const noexcept { return record != nullptr && record->flight.area != nullptr; }
};

// A message that lies in several places.
struct Gather {
  struct Piece {
    const void* data;
    uint32_t length;  // not 0
    uint32_t lkey;    // of the area that it lies in, if any
    bool lent;        // else copied
    uint32_t record;  // of it, if it is lent
  };
  static constexpr uint32_t kMostPieces = kMaxGather;

  std::array<Piece, kMostPieces> pieces;
  uint32_t count = 0;
  uint32_t length = 0;                          // of all
  std::array<SendRecord, kMostPieces> records;  // of those that are lent
  uint32_t lent = 0;                            // perhaps empty ones too, which are no pieces

  // Of a message that lies in one place and is not empty.
  static Gather of(const OutgoingMessage& message) noexcept {
    Gather gather;
    gather.count = 1;
    gather.length = message.length;
    gather.pieces[0] = {message.data, message.length, message.lkey, message.is_lent(), 0};
    if (message.record != nullptr) gather.records[gather.lent++] = *message.record;
    return gather;
  }

  // Not all of it is sent from where it lies.
  bool has_copied_pieces() const noexcept {
    return std::any_of(pieces.begin(), pieces.begin() + count,
                       [](const Piece& piece) { return !piece.lent; });
  }
  // It costs less than to gather so little, or nothing of it is lent.
  bool is_copied() const noexcept { return lent == 0 || length <= kCopyInTrain; }
  void copy_to(char* to) const noexcept {
    for (uint32_t i = 0; i < count; to += pieces[i++].length) {
      std::memcpy(to, pieces[i].data, pieces[i].length);
    }
  }
};

}  // namespace sio::internal
