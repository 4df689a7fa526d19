// SPDX-License-Identifier: BSD-2-Clause
#include "process.h"

#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

namespace sio_perf {

volatile std::sig_atomic_t stop_signal = 0;

namespace {

// A signal that comes between a look at stopping() and a blocking call does not interrupt the call;
// the alarm of a second later does.
void on_signal(int signal) {
  if (signal != SIGALRM) stop_signal = signal;
  ::alarm(1);
}

}  // namespace

void fail_with_errno(const std::string& what, const char* remedy) {
  std::string text = what + ": " + std::strerror(errno);
  if (remedy != nullptr) text += std::string("; ") + remedy;
  throw Failure(text);
}

void catch_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;  // without SA_RESTART
  ::sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGALRM}) ::sigaction(signal, &action, nullptr);
}

void pin_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) {
    fail_with_errno("--cpu " + std::to_string(cpu),
                    "choose one of those that `taskset -pc $$` shows");
  }
}

uint64_t now_ns() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace sio_perf
