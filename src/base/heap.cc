// SPDX-License-Identifier: BSD-2-Clause
#include "base/heap.h"

#include <array>
#include <cstdlib>

namespace sio::internal {
namespace {

// Below the size for which malloc maps memory apart (128 KiB).
constexpr size_t kPiece = size_t{96} * 1024;
constexpr size_t kPieces = 8;

// What was widened stays so when it is given back.
void widen_heap() noexcept {
  std::array<void*, kPieces> pieces;
  for (void*& piece : pieces) piece = std::malloc(kPiece);
  for (void* piece : pieces) std::free(piece);
}

}  // namespace

void expect_allocations(size_t bytes) noexcept {
  thread_local size_t ahead = 0;
  if (ahead < bytes) {
    widen_heap();
    ahead = kPiece * kPieces;
  }
  ahead -= bytes;
}

}  // namespace sio::internal
