// SPDX-License-Identifier: BSD-2-Clause
//
// A datagram socket: the library above the seam between a program (datagram_program.h) and a
// network (datagram_peer.h), both of whom do as the input says. Its first three bytes are the kind
// of program. Then come steps: a byte each, and what they ask for. 0 to 15 are the network's, 16 to
// 31 the program's; with 128 added the control thread is late. While the program sleeps in a call
// the network's steps go on; when the input is over no question is answered any more.
#include "datagram_peer.h"
#include "datagram_program.h"
#include "one_thread.h"
#include "puppet_provider.h"
#include "socket/dispatch.h"
#include "trace.h"

using namespace sio::test;

namespace {

constexpr uint32_t kSignal = 31;

struct Run {
  Input input;
  DatagramPeer peer{input};
};
Run* current = nullptr;

Asleep act_while_asleep() {
  auto& [input, peer] = *current;
  if (input.empty()) return peer.leave() ? Asleep::kSomething : Asleep::kNothingElse;
  const uint32_t step = input.byte() & 31;
  trace_step("asleep", step);
  if (step == kSignal) return Asleep::kSignal;
  if (step < DatagramPeer::kSteps) peer.act(step);
  return Asleep::kSomething;
}

void run_input(Run& run) {
  auto& [input, peer] = run;
  DatagramProgram program(input);
  while (!input.empty()) {
    const uint32_t byte = input.byte();
    const uint32_t step = byte & 31;
    trace_step("step", byte);
    step < DatagramPeer::kSteps ? peer.act(step) : program.act(step - DatagramPeer::kSteps);
    if ((byte & 128) == 0) run_control();
  }
  program.end();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  set_up_tracing();
  set_asleep(act_while_asleep);
  sio::internal::start_dispatch();  // the descriptors that stay, and events from the first on
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size < 4) return 0;
  Run run{Input(bytes, size)};
  current = &run;
  run_input(run);
  return 0;
}
