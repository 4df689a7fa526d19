// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <sys/types.h>

#include <utility>

#include "base/fd.h"
#include "event/added_source.h"

namespace sio::internal {

// The end of a process, which its parent still has to wait for. Ends with its event.
class ProcessSource final : public AddedSource {
 public:
  ProcessSource(pid_t pid, void* cookie);

  int fd() const noexcept override { return fd_.get(); }
  bool emit(EventRing& ring) noexcept override;
  void taken(const EventNote&) noexcept override {}
  Next after_taken() noexcept override { return Next::kEnd; }

 private:
  ProcessSource(OwnFd&& fd, pid_t pid, void* cookie) noexcept
      : AddedSource(cookie), fd_(std::move(fd)), pid_(pid) {}

  const OwnFd fd_;
  const pid_t pid_;
  bool told_ = false;
};

}  // namespace sio::internal
