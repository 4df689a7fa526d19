// SPDX-License-Identifier: BSD-2-Clause
#include "base/thread.h"

#include <csignal>

#include "base/error.h"

namespace sio::internal {

pthread_t start_thread(const char* name, void* (*run)(void*), void* argument) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
    sigdelset(&all, fault);
  }
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int error = pthread_create(&thread, nullptr, run, argument);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  // EAGAIN is for back-pressure; this is a limit (RLIMIT_NPROC, or a container's).
  if (error != 0) throw_errno(error == EAGAIN ? ENOMEM : error, "pthread_create");
  pthread_setname_np(thread, name);
  return thread;
}

}  // namespace sio::internal
