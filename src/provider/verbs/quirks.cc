// SPDX-License-Identifier: BSD-2-Clause
#include "provider/verbs/quirks.h"

#include <cstdio>
#include <utility>

namespace sio::internal::provider::verbs {
namespace {

constexpr uint32_t kSoftRoce = 0xffffff;  // RXE_VENDOR_ID of the kernel's rxe_param.h
constexpr std::pair kFirstBroken{5u, 15u};
constexpr std::pair kFirstMended{6u, 1u};

}  // namespace

bool can_resize_queues(uint32_t vendor, const char* release) noexcept {
  if (vendor != kSoftRoce) return true;
  std::pair<unsigned, unsigned> version;
  if (std::sscanf(release, "%u.%u", &version.first, &version.second) != 2) return false;
  return version < kFirstBroken || version >= kFirstMended;
}

}  // namespace sio::internal::provider::verbs
