// SPDX-License-Identifier: BSD-2-Clause
#include "memory/tables.h"

namespace sio::internal {
namespace {

// Where each table begins, in bytes.
struct Layout {
  explicit Layout(size_t lines) noexcept
      : block_at((lines + 1) * sizeof(Block)),
        pieces(block_at + round(lines * sizeof(uint32_t))),
        starts(pieces + round(lines * kGranulesPerLine * sizeof(uint32_t))),
        end(starts + Bitmap::words_for(static_cast<uint32_t>(lines)) * sizeof(uint64_t)) {}

  // Tables begin on cache lines.
  static size_t round(size_t n) noexcept { return (n + 63) & ~size_t{63}; }

  size_t block_at;
  size_t pieces;
  size_t starts;
  size_t end;
};

// The kernel's zero pages are valid objects: each member is an integer or an atomic one, whose
// value representation is that of the integer on all machines that have RDMA.
template <typename T>
T* table(const Mapping& mapping, size_t offset) noexcept {
  return reinterpret_cast<T*>(mapping.base() + offset);
}

}  // namespace

Tables::Tables(uint32_t lines, const Tables* previous)
    : mapping_(Mapping::sparse(Layout(lines).end)),
      previous_(previous),
      capacity(lines),
      blocks(table<Block>(mapping_, 0)),
      block_at(table<std::atomic<uint32_t>>(mapping_, Layout(lines).block_at)),
      pieces(table<std::atomic<uint32_t>>(mapping_, Layout(lines).pieces)),
      starts(table<Bitmap::Word>(mapping_, Layout(lines).starts), lines) {}

}  // namespace sio::internal
