// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <infiniband/verbs.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "socket/gather.h"
#include "socket/staging.h"

namespace sio::internal {

// What was accepted of a stream in one call and does not fit into one SEND. It goes as one SEND
// after the other while the peer has room; until the last has gone nothing else is accepted.
class Rest {
 public:
  bool empty() const noexcept { return left_ == 0; }
  // That are done once all of it is.
  uint32_t records() const noexcept { return records_; }

  // `buffer` takes what is not lent; null if all of it is.
  void begin(const Gather& gather, StagingBuffer* buffer) noexcept {
    buffer_ = buffer;
    records_ = gather.lent;
    left_ = gather.length;
    piece_ = 0;
    char* to = buffer != nullptr ? buffer->data : nullptr;
    for (uint32_t i = 0; i < gather.count; ++i) {
      const Gather::Piece& piece = gather.pieces[i];
      pieces_[i] = {reinterpret_cast<uintptr_t>(piece.data), piece.length, piece.lkey};
      if (piece.lent) continue;
      std::memcpy(to, piece.data, piece.length);
      pieces_[i].addr = reinterpret_cast<uintptr_t>(to);
      pieces_[i].lkey = buffer->lkey;
      to += piece.length;
    }
  }

  // The next bytes, at most so many, in at most so many entries.
  struct Load {
    int count;
    uint32_t bytes;
  };
  Load take(uint32_t most_bytes, uint32_t most_sges, ibv_sge* sges) noexcept {
    Load load{0, 0};
    while (left_ > 0 && load.bytes < most_bytes && load.count < static_cast<int>(most_sges)) {
      ibv_sge& piece = pieces_[piece_];
      const uint32_t n = std::min(piece.length, most_bytes - load.bytes);
      sges[load.count++] = {piece.addr, n, piece.lkey};
      load.bytes += n;
      left_ -= n;
      piece.addr += n;
      piece.length -= n;
      if (piece.length == 0) ++piece_;
    }
    return load;
  }

  // All of it has gone, or it never will: whose buffer that was, if any.
  StagingBuffer* depart() noexcept {
    left_ = records_ = 0;
    return std::exchange(buffer_, nullptr);
  }

 private:
  std::array<ibv_sge, Gather::kMostPieces> pieces_{};  // what is left of each
  uint32_t piece_ = 0;                                 // the first of which something is left
  uint32_t left_ = 0;                                  // bytes
  uint32_t records_ = 0;
  StagingBuffer* buffer_ = nullptr;
};

}  // namespace sio::internal
