// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "memory/area.h"

namespace sio::internal {

// The areas of which a socket sends without a copy. It is associated with each, so they stay.
class SendAreas {
 public:
  size_t size() const noexcept { return areas_.size(); }
  void reserve(size_t n) { areas_.reserve(n); }
  void add(Area& area) {
    areas_.push_back(&area);
    find_extent();
  }
  // Once, if it was added several times.
  void remove(Area& area) noexcept {
    const auto found = std::find(areas_.begin(), areas_.end(), &area);
    if (found != areas_.end()) areas_.erase(found);
    find_extent();
  }
  void clear() noexcept {
    areas_.clear();
    find_extent();
  }

  // The one that p lies in; NULL: none. Mostly a message that is copied comes from far away.
  Area* find(const void* p) const noexcept {
    return reinterpret_cast<uintptr_t>(p) - low_ < extent_ ? find_within(p) : nullptr;
  }

 private:
  Area* find_within(const void* p) const noexcept {
    for (Area* area : areas_) {
      if (area->contains(p)) return area;
    }
    return nullptr;
  }
  void find_extent() noexcept {
    low_ = UINTPTR_MAX;
    uintptr_t high = 0;
    for (const Area* area : areas_) {
      const auto base = reinterpret_cast<uintptr_t>(area->base());
      low_ = std::min(low_, base);
      high = std::max(high, base + area->size());
    }
    extent_ = areas_.empty() ? 0 : high - low_;
  }

  uintptr_t low_ = 0;  // all of them lie in `extent_` bytes from here
  uintptr_t extent_ = 0;
  std::vector<Area*> areas_;
};

}  // namespace sio::internal
