// SPDX-License-Identifier: BSD-2-Clause
#include "crowd/usage.h"

#include <malloc.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <fstream>
#include <string>

#include "parameters.h"

namespace sio_perf {
namespace {

// A line "name:  number kB" of a file in /proc; 0 if there is none.
uint64_t bytes_of(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name + ":")) continue;
    return std::stoull(line.substr(name.size() + 1)) * 1024;
  }
  return 0;
}

uint64_t ns_of(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(time.tv_usec) * 1000;
}

using Field = uint64_t Usage::*;
constexpr Field kFields[] = {&Usage::cpu_ns, &Usage::resident,  &Usage::anonymous,
                             &Usage::pinned, &Usage::available, &Usage::slab};
constexpr size_t kFieldBytes = 8;
static_assert(std::size(kFields) * kFieldBytes == kUsageBytes);

}  // namespace

uint64_t Usage::cpu_now() {
  rusage used = {};
  ::getrusage(RUSAGE_SELF, &used);
  return ns_of(used.ru_utime) + ns_of(used.ru_stime);
}

Usage Usage::now() {
  // What was freed is not in use.
  ::malloc_trim(0);
  Usage usage;
  usage.cpu_ns = cpu_now();
  usage.resident = bytes_of("/proc/self/smaps_rollup", "Rss");
  usage.anonymous = bytes_of("/proc/self/smaps_rollup", "Anonymous");
  usage.pinned = bytes_of("/proc/self/status", "VmPin") + bytes_of("/proc/self/status", "VmLck");
  usage.available = bytes_of("/proc/meminfo", "MemAvailable");
  usage.slab = bytes_of("/proc/meminfo", "Slab");
  return usage;
}

std::array<unsigned char, kUsageBytes> encode(const Usage& usage) {
  std::array<unsigned char, kUsageBytes> bytes;
  size_t at = 0;
  for (const Field field : kFields) {
    put_number(bytes.data() + at, kFieldBytes, usage.*field);
    at += kFieldBytes;
  }
  return bytes;
}

Usage decode_usage(std::span<const unsigned char, kUsageBytes> bytes) {
  Usage usage;
  size_t at = 0;
  for (const Field field : kFields) {
    usage.*field = get_number(bytes.data() + at, kFieldBytes);
    at += kFieldBytes;
  }
  return usage;
}

void raise_descriptor_limit() {
  rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace sio_perf
