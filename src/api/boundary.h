// SPDX-License-Identifier: BSD-2-Clause
//
// Where the calls of the interface meet the library: results and exceptions become -1 and errno,
// and a forked child is turned away.
#pragma once

#include <netinet/in.h>
#include <sio/sio.h>
#include <sys/socket.h>

#include <cerrno>
#include <new>
#include <system_error>

#include "base/deferred.h"
#include "base/fork_guard.h"

namespace sio::internal {

// What a call that sends takes.
inline constexpr int kSendFlags = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE | SIO_RELEASE;

inline int fail(int error) noexcept {
  errno = error;
  return -1;
}

// Runs `body`, which returns a result or -errno and may throw.
template <typename Body>
[[gnu::always_inline]] inline int call(Body body) noexcept {
  if (ForkGuard::in_child()) return fail(EPERM);
  int result;
  try {
    result = body();
  } catch (const std::bad_alloc&) {
    result = -ENOMEM;
  } catch (const std::system_error& error) {
    result = -error.code().value();
  }
  Deferred::run_noted();
  return result < 0 ? fail(-result) : result;
}

// 0 if it is a whole address of a family that we know, else -errno.
inline int check_address(const sockaddr* address, socklen_t length) noexcept {
  if (address == nullptr || length < sizeof(sa_family_t)) return -EINVAL;
  if (address->sa_family == AF_INET) return length >= sizeof(sockaddr_in) ? 0 : -EINVAL;
  if (address->sa_family == AF_INET6) return length >= sizeof(sockaddr_in6) ? 0 : -EINVAL;
  return -EAFNOSUPPORT;
}

}  // namespace sio::internal
