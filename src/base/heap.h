// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstddef>

namespace sio::internal {

// This thread is about to allocate so many bytes in small pieces, for long. glibc widens the heap
// of every thread but the first by no more than it lacks, a page or two with a system call each;
// this has it widened for many at once. Memory is taken only where it is touched, as before.
void expect_allocations(size_t bytes) noexcept;

}  // namespace sio::internal
