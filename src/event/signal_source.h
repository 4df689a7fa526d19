// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <csignal>
#include <utility>

#include "base/fd.h"
#include "event/added_source.h"

namespace sio::internal {

// Signals that are sent to the process. Those that the ring has no room for stay in the kernel's
// queue, as blocked signals do.
class SignalSource final : public AddedSource {
 public:
  SignalSource(const sigset_t& signals, void* cookie);

  int fd() const noexcept override { return fd_.get(); }
  bool emit(EventRing& ring) noexcept override;
  void taken(const EventNote&) noexcept override {}

 private:
  SignalSource(OwnFd&& fd, void* cookie) noexcept : AddedSource(cookie), fd_(std::move(fd)) {}

  const OwnFd fd_;
};

}  // namespace sio::internal
