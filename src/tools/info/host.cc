// SPDX-License-Identifier: BSD-2-Clause
#include <infiniband/verbs.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <fstream>

#include "info/inventory.h"

namespace sio_info {
namespace {

std::optional<uint64_t> bytes_of(rlim_t limit) {
  if (limit == RLIM_INFINITY) return std::nullopt;
  return limit;
}

// Capabilities within a user namespace of one's own do not count for memory.
bool in_first_user_namespace() {
  std::ifstream map("/proc/self/uid_map");
  uint64_t inside = 1, outside = 1, count = 0;
  map >> inside >> outside >> count;
  return inside == 0 && outside == 0 && count == UINT32_MAX;
}

bool has_capability(unsigned capability) {
  std::ifstream status("/proc/self/status");
  constexpr std::string_view kEffective = "CapEff:";
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(kEffective)) continue;
    return std::stoull(line.substr(kEffective.size()), nullptr, 16) >> capability & 1;
  }
  return false;
}

Memlock memlock() {
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  return {bytes_of(limit.rlim_cur), bytes_of(limit.rlim_max),
          has_capability(CAP_IPC_LOCK) && in_first_user_namespace()};
}

// The library calls no ibv_fork_init (docs/design.md): what libibverbs and the kernel do without.
ForkMode fork_mode(const std::string& provider) {
  if (provider != "verbs") return {"nothing pinned", "no device knows the program's pages"};
  switch (::ibv_is_fork_initialized()) {
    case IBV_FORK_UNNEEDED:
      return {"copied", "the kernel copies pinned pages at a fork"};
    case IBV_FORK_ENABLED:
      return {"dontfork", "libibverbs keeps pinned pages from children (RDMAV_FORK_SAFE)"};
    default:
      return {
          "unsafe",
          "the kernel does not say that it copies pinned pages at a fork (Linux 5.12 does): set "
          "RDMAV_FORK_SAFE=1, or do not fork"};
  }
}

}  // namespace

Host describe_host(const std::string& provider) {
  utsname name{};
  ::uname(&name);
  return {std::string(name.sysname) + ' ' + name.release + ' ' + name.machine, memlock(),
          fork_mode(provider)};
}

}  // namespace sio_info
