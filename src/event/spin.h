// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace sio::internal {

// How long to spin before a sleep: up to a limit while that pays, a sixteenth of it while it
// does not.
class AdaptiveSpin {
 public:
  explicit AdaptiveSpin(microseconds limit = {}) noexcept : limit_(limit), budget_(limit) {}

  void set_limit(microseconds limit) noexcept { *this = AdaptiveSpin(limit); }
  nanoseconds limit() const noexcept { return limit_; }
  nanoseconds budget() const noexcept { return budget_; }

  // Something came while spinning, or right after the sleep began: spin longer.
  void paid() noexcept { budget_ = std::min(limit_, budget_ * 2); }
  void failed() noexcept { budget_ = std::max(limit_ / 16, budget_ / 2); }

 private:
  nanoseconds limit_;
  nanoseconds budget_;
};

}  // namespace sio::internal
