// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <chrono>
#include <string>

#include "stat/page_reader.h"

namespace sio_stat {

// A running process. /proc is the kernel's answer to who may look: its own user, if it has no more
// rights than that, and root.
class Process {
 public:
  // Throws Failure: there is none.
  explicit Process(int pid);

  // The figures that it keeps. Throws Failure: why there are none.
  PageReader page() const;
  // Waits for so long: true as soon as it has ended.
  bool ends_within(std::chrono::milliseconds time) const;

 private:
  // Its number where it was started, which is what it knows itself by.
  int own_number() const;
  bool wants_figures() const;

  std::string name_;
  OwnFd directory_;
  OwnFd process_;
};

}  // namespace sio_stat
