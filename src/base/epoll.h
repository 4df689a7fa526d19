// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace sio::internal {

// epoll_wait with a time-out in nanoseconds where the kernel can (5.11); else in milliseconds,
// rounded up so that it is never early. NULL: none.
inline int wait_for_epoll(int epoll, epoll_event* ready, int most,
                          const timespec* timeout) noexcept {
  const int n = epoll_pwait2(epoll, ready, most, timeout, nullptr);
  if (n >= 0 || (errno != ENOSYS && errno != EPERM)) return n;
  const int ms =
      timeout == nullptr
          ? -1
          : static_cast<int>(std::min<long long>(
                timeout->tv_sec * 1000LL + (timeout->tv_nsec + 999'999) / 1'000'000, 3'600'000));
  return epoll_wait(epoll, ready, most, ms);
}

}  // namespace sio::internal
