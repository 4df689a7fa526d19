// SPDX-License-Identifier: BSD-2-Clause
//
// Counts what this program asks for memory: its own code, the library's, and that of every shared
// library it uses, libibverbs and a device's driver among them, in all threads. The C library's
// functions are replaced, so what C++ allocates counts as well.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace sio::test {

// With a sanitizer these functions are the sanitizer's.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SIO_COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SIO_COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef SIO_COUNTS_ALLOCATIONS
#define SIO_COUNTS_ALLOCATIONS 1
#endif

// malloc and its kind, mmap and its kind, brk and sbrk: calls so far.
uint64_t allocations() noexcept;

// What is allocated from here on is remembered with who asked, the first few times.
void note_callers() noexcept;
// Stops it, and says what it was; for addr2line.
std::string noted_callers();

// Memory of the process that is resident, in bytes; asks for none.
size_t resident_bytes() noexcept;

}  // namespace sio::test
