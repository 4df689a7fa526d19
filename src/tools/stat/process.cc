// SPDX-License-Identifier: BSD-2-Clause
#include "stat/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <optional>

#include "stat/failure.h"

namespace sio_stat {
namespace {

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

std::string target_of(int directory, const char* link) {
  char text[256];
  const ssize_t n = ::readlinkat(directory, link, text, sizeof text);
  return n < 0 ? "" : std::string(text, static_cast<size_t>(n));
}

// What it may be besides a file in memory must neither wait nor become our terminal.
OwnFd open_at(int directory, const char* name) {
  return OwnFd(::openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

std::string contents_of(int file) {
  std::string all;
  char some[4096];
  for (ssize_t n; (n = ::read(file, some, sizeof some)) > 0;)
    all.append(some, static_cast<size_t>(n));
  return all;
}

}  // namespace

Process::Process(int pid)
    : name_("process " + std::to_string(pid)),
      directory_(
          ::open(("/proc/" + std::to_string(pid)).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (!directory_) throw Failure("there is no " + name_);
  process_ = OwnFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process_) {  // EINVAL, ENOENT: a thread of one
    const bool none = errno == ESRCH || errno == EINVAL || errno == ENOENT;
    throw none ? Failure("there is no " + name_) : Failure("pidfd_open", errno);
  }
}

int Process::own_number() const {
  const std::string status = contents_of(open_at(directory_.get(), "status").get());
  const size_t line = status.find("\nNSpid:");
  if (line == std::string::npos) throw Failure("there is no " + name_ + " any more");
  const size_t end = status.find('\n', line + 1);
  const size_t last = status.find_last_of(" \t", end);
  return std::atoi(status.c_str() + last);
}

// As its environment was when it began.
bool Process::wants_figures() const {
  const std::string all = '\0' + contents_of(open_at(directory_.get(), "environ").get());
  return all.find(std::string("\0SIO_STATS=1\0", 13)) != std::string::npos;
}

PageReader Process::page() const {
  OwnFd opened(::openat(directory_.get(), "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const Directory links(opened ? ::fdopendir(opened.get()) : nullptr, ::closedir);
  if (!links) {
    if (errno != EACCES && errno != EPERM) throw Failure(name_, errno);
    throw Failure("no permission to look into " + name_ +
                  ": it is another user's, or has rights that this user has not; root may");
  }
  opened.release();  // the DIR's
  const std::string wanted = std::string("/memfd:") + stats::kPageName + " (deleted)";
  std::string why =
      name_ + (wants_figures() ? " keeps no figures yet: they begin with its first socket"
                               : " keeps no figures: start it with SIO_STATS=1 in its environment; "
                                 "they begin with its first socket");
  const int number = own_number();
  errno = 0;
  while (const dirent* link = ::readdir(links.get())) {
    if (target_of(::dirfd(links.get()), link->d_name) != wanted) continue;
    try {
      PageReader page(open_at(::dirfd(links.get()), link->d_name));
      if (page.pid() == number) return page;
      why = name_ + " keeps no figures: it has inherited those of the process that forked it";
    } catch (const Failure& failure) {
      why = "the figures of " + name_ + ": " + failure.what();
    }
  }
  // One that nobody has waited for has no descriptors any more.
  throw Failure(ends_within(std::chrono::milliseconds(0)) ? name_ + " has ended" : why);
}

bool Process::ends_within(std::chrono::milliseconds time) const {
  const auto end = std::chrono::steady_clock::now() + time;
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd wait{process_.get(), POLLIN, 0};
    const int n = ::poll(&wait, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (n >= 0) return n > 0;
    if (errno != EINTR) throw Failure("poll", errno);
  }
}

}  // namespace sio_stat
