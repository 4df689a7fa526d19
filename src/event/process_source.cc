// SPDX-License-Identifier: BSD-2-Clause
#include "event/process_source.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

namespace sio::internal {
namespace {

// Close-on-exec. glibc has a function for it since 2.36, which not every system has.
int open_process(pid_t pid) {
  const auto fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) throw_errno(errno == ENOENT ? EINVAL : errno, "pidfd_open");  // a thread, 6.13 on
  return fd;
}

}  // namespace

ProcessSource::ProcessSource(pid_t pid, void* cookie)
    : ProcessSource(OwnFd(open_process(pid)), pid, cookie) {}

bool ProcessSource::emit(EventRing& ring) noexcept {
  if (told_) return true;
  if (ring.full()) return false;
  event_data_t& event = push(ring, EC_PROCESS, id());
  event.signal.pid = pid_;
  // How it ended is told to its parent only, and as long as nobody has waited for it.
  siginfo_t info{};
  const auto who = static_cast<id_t>(fd_.get());
  if (waitid(static_cast<idtype_t>(P_PIDFD), who, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
    event.signal.uid = info.si_uid;
    event.signal.code = info.si_code;
    event.signal.status = info.si_status;
  }
  told_ = true;
  return true;
}

}  // namespace sio::internal
