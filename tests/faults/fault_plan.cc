// SPDX-License-Identifier: BSD-2-Clause
#include "faults/fault_plan.h"

#include <sys/eventfd.h>

#include "base/error.h"

namespace sio::test {

using internal::provider::ConnectionEvent;

FaultPlan::FaultPlan()
    : wake_(internal::check_errno(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {}

void FaultPlan::begin(uint64_t seed, const Faults& faults) {
  const std::lock_guard lock(mutex_);
  random_.seed(seed);
  faults_ = faults;
}

bool FaultPlan::strikes(uint32_t Faults::*fault) {
  const std::lock_guard lock(mutex_);
  const uint32_t often = faults_.*fault;
  if (often == 0 || random_() % often != 0) return false;
  ++struck_;
  return true;
}

uint32_t FaultPlan::below(uint32_t n) {
  const std::lock_guard lock(mutex_);
  return static_cast<uint32_t>(random_() % n);
}

void FaultPlan::tell(Kind kind, int error) {
  const std::lock_guard lock(mutex_);
  ConnectionEvent event;
  event.kind = kind;
  event.endpoint = connecting_;
  event.error = error;
  told_.push_back(std::move(event));
  wake();
}

void FaultPlan::wake() const { eventfd_write(wake_.get(), 1); }

bool FaultPlan::take_event(ConnectionEvent& event) {
  const std::lock_guard lock(mutex_);
  eventfd_t any;
  if (told_.empty()) return eventfd_read(wake_.get(), &any), false;
  event = std::move(told_.front());
  told_.pop_front();
  return true;
}

std::string FaultPlan::left() const {
  std::string text;
  const auto count = [&](int number, const char* what) {
    if (number != 0) text += std::to_string(number) + ' ' + what + ", ";
  };
  count(pairs, "queue pairs");
  count(queues, "queues");
  count(channels, "channels");
  count(endpoints, "endpoints");
  count(regions, "registrations");
  count(shared, "shared receive queues");
  count(attached, "group attachments");
  return text;
}

FaultPlan& plan() {
  static auto* const one = new FaultPlan;
  return *one;
}

}  // namespace sio::test
