// SPDX-License-Identifier: BSD-2-Clause
//
// What the owners of libsio for C++20 (<sio/sio.hpp>) have in common: how a call ended.
#ifndef SIO_BASE_HPP
#define SIO_BASE_HPP

#if __cplusplus <= 201703L
#error "libsio's C++ headers need C++20: compile with -std=c++20, or include <sio/sio.h>"
#endif

#include <sio/base.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <system_error>

namespace sio {

// What became of a call of the data path: 0, or the errno of the C call.
class [[nodiscard]] Status {
 public:
  constexpr Status() noexcept = default;
  constexpr explicit Status(int error) noexcept : error_(error) {}

  constexpr bool ok() const noexcept { return error_ == 0; }
  constexpr explicit operator bool() const noexcept { return ok(); }
  // Back-pressure, or nothing there: later it may be otherwise.
  constexpr bool again() const noexcept { return error_ == EAGAIN; }
  constexpr int error() const noexcept { return error_; }
  std::error_code code() const noexcept { return {error_, std::generic_category()}; }

 private:
  int error_ = 0;
};

namespace detail {

inline int checked(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

inline Status status(int result) noexcept { return Status(result < 0 ? errno : 0); }

inline timespec to_timespec(std::chrono::nanoseconds time) noexcept {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return {static_cast<time_t>(seconds.count()), static_cast<long>((time - seconds).count())};
}

}  // namespace detail

}  // namespace sio

#endif
