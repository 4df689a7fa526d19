// SPDX-License-Identifier: BSD-2-Clause
//
// A thread that sleeps until requests end. It counts itself before it looks how they stand, and
// who ends one writes that before it looks at the count: so one of the two sees the other.
#pragma once

#include <atomic>
#include <boost/intrusive/list.hpp>
#include <mutex>

#include "base/fd.h"

namespace sio::internal {

class Suspension : public boost::intrusive::list_base_hook<> {
 public:
  Suspension();  // throws
  ~Suspension();
  Suspension(const Suspension&) = delete;
  Suspension& operator=(const Suspension&) = delete;

  // Readable when a request, any request, has ended since the last clear().
  int fd() const noexcept { return bell_.get(); }
  void clear() noexcept;

  static void wake_all() noexcept {
    if (sleepers_.load() > 0) ring_bells();
  }

 private:
  static void ring_bells() noexcept;

  inline static std::atomic<int> sleepers_{0};
  const OwnFd bell_;
};

}  // namespace sio::internal
