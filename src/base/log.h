// SPDX-License-Identifier: BSD-2-Clause
//
// The library's log: one line per call, to the program's callback or to stderr.
#pragma once

#include <sio/sio.h>

namespace sio::internal {

bool log_enabled(int level) noexcept;

[[gnu::format(printf, 2, 3)]] void log_line(int level, const char* format, ...) noexcept;

// SIO_LOG as it stands in the settings: sets the level for stderr, unless the program has set a
// callback.
void set_log_level(int level) noexcept;

// error, warn, info, debug, none; -1 if it is none of these.
int log_level_of(const char* name) noexcept;

// "ECONNRESET: Connection reset by peer"; of the thread, until it asks again.
const char* errno_text(int error) noexcept;

}  // namespace sio::internal

// Arguments are evaluated only when somebody listens.
#define SIO_LOG_AT(level, ...)                       \
  do {                                               \
    if (::sio::internal::log_enabled(level)) {       \
      ::sio::internal::log_line(level, __VA_ARGS__); \
    }                                                \
  } while (0)
#define LOG_ERROR(...) SIO_LOG_AT(SIO_LOG_ERROR, __VA_ARGS__)
#define LOG_WARN(...) SIO_LOG_AT(SIO_LOG_WARN, __VA_ARGS__)
#define LOG_INFO(...) SIO_LOG_AT(SIO_LOG_INFO, __VA_ARGS__)
#define LOG_DEBUG(...) SIO_LOG_AT(SIO_LOG_DEBUG, __VA_ARGS__)
