// SPDX-License-Identifier: BSD-2-Clause
//
// Inside the library set-up throws std::system_error and the data path returns 0 or -errno.
// The calls of the interface translate both (src/api/boundary.h).
#pragma once

#include <cerrno>
#include <system_error>

namespace sio::internal {

[[noreturn]] inline void throw_errno(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

[[noreturn]] inline void throw_last_errno(const char* what) { throw_errno(errno, what); }

// For calls that return -1 and set errno.
inline int check_errno(int result, const char* what) {
  if (result < 0) throw_last_errno(what);
  return result;
}

}  // namespace sio::internal
