// SPDX-License-Identifier: BSD-2-Clause
//
// What a process has of memory and has spent of processor time, and what the kernel has left.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sio_perf {

struct Usage {
  uint64_t cpu_ns = 0;  // user and system, of all threads
  // Bytes, of the process: all that is mapped and there, of these what is of no file (queues that
  // the kernel has mapped into it are), and what is pinned.
  uint64_t resident = 0;
  uint64_t anonymous = 0;
  uint64_t pinned = 0;
  // Bytes, of the whole machine.
  uint64_t available = 0;
  uint64_t slab = 0;

  static Usage now();
  static uint64_t cpu_now();  // cpu_ns alone, which costs nothing to speak of
};

inline constexpr size_t kUsageBytes = 48;
std::array<unsigned char, kUsageBytes> encode(const Usage& usage);
Usage decode_usage(std::span<const unsigned char, kUsageBytes> bytes);

// As many descriptors as the hard limit allows.
void raise_descriptor_limit();

}  // namespace sio_perf
