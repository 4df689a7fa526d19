// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/inlet.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace sio::internal::provider::soft {

void Inlet::Layout::add(char* data, size_t size, bool payload) noexcept {
  pieces[count++] = {data, size, payload};
  total += size;
}

Inlet::Layout Inlet::lay_out(FrameSink& sink) noexcept {
  Layout layout;
  if (in_payload_) layout.add(sink.payload() + payload_bytes_, payload_left(), true);
  const size_t certain = layout.total;
  // One header more than frames: if that stays empty, there is nothing more to read.
  for (unsigned i = 0; i <= ahead_; ++i) {
    const size_t have = i == 0 ? header_bytes_ : 0;
    layout.add(headers_[i].data() + have, FrameHeader::kSize - have, false);
    if (i == ahead_) break;
    const FrameSink::Room room = sink.upcoming(i);
    if (expected_ == 0 || room.size < expected_) break;
    const size_t with_it = layout.total - certain + expected_ + FrameHeader::kSize;
    if (with_it > kMostSurplus) break;
    layout.add(room.data, expected_, true);
  }
  return layout;
}

Inlet::Result Inlet::read(int fd, FrameSink& sink) noexcept {
  if (broken_) return Result::kBroken;
  if (stalled_) return resume(sink);
  const Layout layout = lay_out(sink);
  iovec pieces[kMostPieces];
  for (size_t i = 0; i < layout.count; ++i) {
    pieces[i] = {layout.pieces[i].data, layout.pieces[i].size};
  }
  const ssize_t n = readv(fd, pieces, static_cast<int>(layout.count));
  if (n <= 0) return nothing_came(n);
  const auto came = static_cast<size_t>(n);
  brought_ = 0;
  take(layout, came, sink);
  ahead_ =
      came < layout.total ? std::clamp(brought_, 1u, kMostAhead) : std::min(ahead_ + 1, kMostAhead);
  const Result result = resume(sink);
  return result == Result::kMore && came < layout.total ? Result::kDrained : result;
}

Inlet::Result Inlet::nothing_came(ssize_t n) noexcept {
  if (n == 0) return Result::kEnd;
  if (errno == EAGAIN) return Result::kDrained;
  if (errno == EINTR) return Result::kMore;
  error_ = errno;
  return Result::kError;
}

Inlet::Result Inlet::feed(const char* bytes, size_t n, FrameSink& sink) noexcept {
  const size_t taken = absorb(bytes, n, sink);
  Layout rest;
  rest.add(const_cast<char*>(bytes) + taken, n - taken, false);  // only read from
  keep_surplus(rest, 0, 0, n - taken);
  return resume(sink);
}

// Goes through what came into the pieces as long as each holds what it was meant for.
void Inlet::take(const Layout& layout, size_t n, FrameSink& sink) noexcept {
  for (size_t i = 0; n > 0; ++i) {
    const Piece& piece = layout.pieces[i];
    if (!piece.payload) {
      const size_t part = std::min(n, piece.size);
      char* const at = headers_[0].data() + header_bytes_;
      if (at != piece.data) std::memcpy(at, piece.data, part);
      header_bytes_ += part;
      n -= part;
      if (header_bytes_ == FrameHeader::kSize) header_came(sink);
      if (halted()) return keep_surplus(layout, i + 1, 0, n);
      continue;
    }
    // Nothing of it is payload when the frame has none, or has it elsewhere.
    const bool placed = in_payload_ && piece.data == sink.payload() + payload_bytes_;
    const size_t left = placed ? payload_left() : 0;
    const size_t part = std::min({n, piece.size, left});
    payload_bytes_ += part;
    n -= part;
    if (placed && part == left) end_frame(sink);
    if (piece.size != left) return keep_surplus(layout, i, part, n);
  }
}

// Copied out before anything is done with it, since it lies where other messages are to go.
void Inlet::keep_surplus(const Layout& layout, size_t piece, size_t skip, size_t n) noexcept {
  if (n == 0) return;
  try {
    for (; n > 0; ++piece, skip = 0) {
      const Piece& from = layout.pieces[piece];
      const size_t part = std::min(n, from.size - skip);
      surplus_.insert(surplus_.end(), from.data + skip, from.data + skip + part);
      n -= part;
    }
  } catch (const std::bad_alloc&) {
    broken_ = true;  // what was read can not be put back
  }
}

Inlet::Result Inlet::resume(FrameSink& sink) noexcept {
  if (stalled_) {
    stalled_ = false;
    begin_frame(sink);
  }
  if (!halted()) {
    surplus_taken_ +=
        absorb(surplus_.data() + surplus_taken_, surplus_.size() - surplus_taken_, sink);
  }
  if (broken_) return Result::kBroken;
  if (stalled_) return Result::kStalled;
  surplus_.clear();
  surplus_taken_ = 0;
  return Result::kMore;
}

// How much of it found a place.
size_t Inlet::absorb(const char* bytes, size_t n, FrameSink& sink) noexcept {
  size_t taken = 0;
  while (taken < n && !halted()) {
    if (in_payload_) {
      const size_t part = std::min(n - taken, payload_left());
      std::memcpy(sink.payload() + payload_bytes_, bytes + taken, part);
      payload_bytes_ += part;
      taken += part;
      if (payload_left() == 0) end_frame(sink);
    } else {
      const size_t part = std::min(n - taken, FrameHeader::kSize - header_bytes_);
      std::memcpy(headers_[0].data() + header_bytes_, bytes + taken, part);
      header_bytes_ += part;
      taken += part;
      if (header_bytes_ == FrameHeader::kSize) header_came(sink);
    }
  }
  return taken;
}

void Inlet::header_came(FrameSink& sink) noexcept {
  header_bytes_ = 0;
  if (decode(headers_[0].data(), header_)) {
    begin_frame(sink);
  } else {
    broken_ = true;
  }
}

void Inlet::begin_frame(FrameSink& sink) noexcept {
  switch (sink.begin(header_)) {
    case FrameSink::Verdict::kTake:
      payload_bytes_ = 0;
      in_payload_ = header_.length > 0;
      if (!in_payload_) sink.end(header_);
      return;
    case FrameSink::Verdict::kNotReady:
      stalled_ = true;
      return;
    case FrameSink::Verdict::kBroken:
      broken_ = true;
      return;
  }
}

void Inlet::end_frame(FrameSink& sink) noexcept {
  in_payload_ = false;
  brought_ = header_.length == expected_ ? brought_ + 1 : 0;
  expected_ = header_.length;
  sink.end(header_);
}

}  // namespace sio::internal::provider::soft
