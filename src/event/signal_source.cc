// SPDX-License-Identifier: BSD-2-Clause
#include "event/signal_source.h"

#include <poll.h>
#include <sys/signalfd.h>

#include "base/error.h"

namespace sio::internal {

SignalSource::SignalSource(const sigset_t& signals, void* cookie)
    : SignalSource(
          OwnFd(check_errno(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd")),
          cookie) {}

bool SignalSource::emit(EventRing& ring) noexcept {
  while (!ring.full()) {
    signalfd_siginfo info;
    if (::read(fd_.get(), &info, sizeof info) != sizeof info) return true;
    event_data_t& event = push(ring, EC_SIGNAL, static_cast<int>(info.ssi_signo));
    event.signal.pid = static_cast<int32_t>(info.ssi_pid);
    event.signal.uid = info.ssi_uid;
    event.signal.code = info.ssi_code;
    event.signal.status = info.ssi_status;
    event.signal.value.sival_ptr = reinterpret_cast<void*>(info.ssi_ptr);
  }
  pollfd more{fd_.get(), POLLIN, 0};
  return poll(&more, 1, 0) != 1;
}

}  // namespace sio::internal
