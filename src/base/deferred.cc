// SPDX-License-Identifier: BSD-2-Clause
#include "base/deferred.h"

namespace sio::internal {

thread_local constinit Deferred* Deferred::first_ = nullptr;

void Deferred::note() noexcept {
  // Acquire-release: whoever notes it next finds next_ free, and its run() sees what was done
  // before a note that came too late to count.
  if (noted_.exchange(true, std::memory_order_acq_rel)) return;
  next_ = first_;
  first_ = this;
}

void Deferred::run_all() noexcept {
  while (first_ != nullptr) {
    Deferred* const one = first_;
    first_ = one->next_;
    one->noted_.exchange(false, std::memory_order_acq_rel);  // first: what comes now is noted anew
    one->run();
  }
}

}  // namespace sio::internal
