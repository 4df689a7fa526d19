// SPDX-License-Identifier: BSD-2-Clause
//
// Counts what this program asks for memory: its own code, the library's, and that of every shared
// library it uses, libibverbs and a device's driver among them, in all threads. The C library's
// functions are replaced, so what C++ allocates counts as well.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "conformance/sanitizers.h"

namespace sio::test {

// With a sanitizer these functions are the sanitizer's.
#define SIO_COUNTS_ALLOCATIONS (!SIO_ADDRESS_SANITIZER && !SIO_THREAD_SANITIZER)

// malloc and its kind, mmap and its kind, brk and sbrk: calls so far.
uint64_t allocations() noexcept;

// What is allocated from here on is remembered with who asked, the first few times.
void note_callers() noexcept;
// Stops it, and says what it was; for addr2line.
std::string noted_callers();

}  // namespace sio::test
