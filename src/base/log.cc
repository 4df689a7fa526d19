// SPDX-License-Identifier: BSD-2-Clause
#include "base/log.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <mutex>

namespace sio::internal {
namespace {

constexpr size_t kMaxLine = 512;

const char* const kLevelNames[] = {"none", "error", "warn", "info", "debug"};

std::atomic<int> level_limit{SIO_LOG_WARN};

// The mutex orders a change of the callback after the last line to the old one. Both are plain
// data that lives as long as the process.
std::mutex& log_mutex() noexcept {
  static std::mutex* mutex = new std::mutex;
  return *mutex;
}
sio_log_fn callback = nullptr;
void* callback_arg = nullptr;

// A line to a pipe that nobody reads is lost, and that is all: the calling thread gets no SIGPIPE,
// and one that it had pending it keeps.
void write_quietly(int fd, const char* line, size_t n) noexcept {
  sigset_t pipe_only;
  sigset_t pending;
  sigset_t before;
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  sigpending(&pending);
  pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
  const ssize_t written = ::write(fd, line, n);
  constexpr timespec kNow{0, 0};
  if (written < 0 && errno == EPIPE && sigismember(&pending, SIGPIPE) == 0) {
    sigtimedwait(&pipe_only, nullptr, &kNow);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void write_stderr(int level, const char* text) noexcept {
  char line[kMaxLine + 32];
  const int n = std::snprintf(line, sizeof line, "libsio %s: %s\n", kLevelNames[level], text);
  // One write, so that lines of several threads do not mix. Nothing can be done about failure.
  if (n > 0) write_quietly(STDERR_FILENO, line, static_cast<size_t>(n));
}

}  // namespace

bool log_enabled(int level) noexcept {
  return level <= level_limit.load(std::memory_order_relaxed);  // a hint; nothing hangs on it
}

void log_line(int level, const char* format, ...) noexcept {
  char text[kMaxLine];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  const int saved_errno = errno;
  {
    const std::lock_guard lock(log_mutex());
    if (callback != nullptr) {
      callback(level, text, callback_arg);
    } else {
      write_stderr(level, text);
    }
  }
  errno = saved_errno;
}

void set_log_level(int level) noexcept {
  const std::lock_guard lock(log_mutex());
  if (callback == nullptr) level_limit.store(level, std::memory_order_relaxed);
}

int log_level_of(const char* name) noexcept {
  for (int level = SIO_LOG_NONE; level <= SIO_LOG_DEBUG; ++level) {
    if (std::strcmp(name, kLevelNames[level]) == 0) return level;
  }
  return -1;
}

const char* errno_text(int error) noexcept {
  const char* name = strerrorname_np(error);
  const char* words = strerrordesc_np(error);
  thread_local char text[96];
  std::snprintf(text, sizeof text, "%s: %s", name != nullptr ? name : "?",
                words != nullptr ? words : "?");
  return text;
}

}  // namespace sio::internal

extern "C" void sio_set_log(sio_log_fn fn, int level, void* arg) {
  using namespace sio::internal;
  const std::lock_guard lock(log_mutex());
  callback = fn;
  callback_arg = arg;
  level_limit.store(std::min(std::max(level, int{SIO_LOG_NONE}), int{SIO_LOG_DEBUG}),
                    std::memory_order_relaxed);
}
