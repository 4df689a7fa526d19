// SPDX-License-Identifier: BSD-2-Clause
//
// The library's control thread and its clock, in the fuzzer's one thread (in the place of
// control/control_thread.cc): tasks, timers and descriptors are looked after when the fuzzer says
// so, and while a call sleeps the peer goes on. So an input does the same each time, and nothing
// takes time.
#pragma once

#include <chrono>
#include <cstddef>

namespace sio::test {

// What the control thread has to do now.
void run_control();

// Time passes, and timers run as they become due.
void pass_time(std::chrono::nanoseconds time);

// What happens while a call sleeps: called again and again until the call is woken. kNothing: only
// time goes on, and if nobody waits for that either, the call would sleep for ever: a finding.
// Where it may (kNothingElse) a signal ends it then.
enum class Asleep { kSomething, kSignal, kNothing, kNothingElse };
void set_asleep(Asleep (*happens)());

// Tasks and timers that wait.
size_t control_work();

}  // namespace sio::test
