// SPDX-License-Identifier: BSD-2-Clause
//
// What the kernel is made to refuse.
#pragma once

#include <sys/resource.h>

#include <cerrno>
#include <cstdint>
#include <functional>

namespace sio::test {

// While this lasts the process can have no more descriptors.
class NoDescriptorsLeft {
 public:
  NoDescriptorsLeft();
  ~NoDescriptorsLeft() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

// Has this system call fail in this thread, for good.
void forbid_call(long number, uint32_t error = ENOSYS);

// That a call made where the kernel refuses this system call, in a thread of its own, fails with
// the kernel's error.
void expect_refusal(long number, int error, const std::function<int()>& call);

}  // namespace sio::test
