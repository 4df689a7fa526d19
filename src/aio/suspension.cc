// SPDX-License-Identifier: BSD-2-Clause
#include "aio/suspension.h"

#include <sys/eventfd.h>

#include "base/error.h"

namespace sio::internal {
namespace {

std::mutex sleeping_mutex;

// Under the mutex. Never destroyed: threads may sleep when the process ends.
boost::intrusive::list<Suspension>& sleeping() {
  static auto* const all = new boost::intrusive::list<Suspension>;
  return *all;
}

}  // namespace

Suspension::Suspension() : bell_(check_errno(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  const std::lock_guard lock(sleeping_mutex);
  sleeping().push_back(*this);
  ++sleepers_;
}

Suspension::~Suspension() {
  const std::lock_guard lock(sleeping_mutex);
  sleeping().erase(sleeping().iterator_to(*this));
  --sleepers_;
}

void Suspension::clear() noexcept {
  eventfd_t count;
  [[maybe_unused]] const int result = eventfd_read(bell_.get(), &count);
}

void Suspension::ring_bells() noexcept {
  const std::lock_guard lock(sleeping_mutex);
  for (const Suspension& one : sleeping()) {
    [[maybe_unused]] const int result = eventfd_write(one.fd(), 1);
  }
}

}  // namespace sio::internal
