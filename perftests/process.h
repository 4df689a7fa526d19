// SPDX-License-Identifier: BSD-2-Clause
//
// What both ends need of the process: failures, signals, a processor, a clock.
#pragma once

#include <csignal>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>

namespace sio_perf {

// Something the user is told, with what to do about it where that is known.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The other end is gone: the end of the run for a client, of one client for a server.
class PeerGone : public Failure {
 public:
  using Failure::Failure;
};

class Interrupted : public std::exception {};

// "what: the text of errno", and a remedy.
[[noreturn]] void fail_with_errno(const std::string& what, const char* remedy = nullptr);

// From now on SIGINT and SIGTERM make stopping() true and interrupt every blocking call.
void catch_signals();

extern volatile std::sig_atomic_t stop_signal;

inline bool stopping() { return stop_signal != 0; }

inline void check_stop() {
  if (stopping()) throw Interrupted();
}

// Keeps this thread, and all that it starts, on one processor.
void pin_to(int cpu);

uint64_t now_ns();

}  // namespace sio_perf
