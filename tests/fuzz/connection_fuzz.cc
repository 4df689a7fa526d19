// SPDX-License-Identifier: BSD-2-Clause
//
// A whole connection: the library above the seam between a program (program.h) and a peer
// (peer.h), both of whom do as the input says. Its first three bytes are the kind of program. Then
// come steps: a byte each, and what they ask for. 0 to 15 are the peer's, 16 to 31 the program's;
// with 128 added the control thread is late. While the program sleeps in a call the peer's steps go
// on; when the input is over the peer leaves.
#include <sio/sio.h>

#include <cstdio>
#include <cstdlib>

#include "one_thread.h"
#include "peer.h"
#include "program.h"

using namespace sio::test;

namespace {

constexpr uint32_t kSignal = Peer::kSteps + Program::kSteps - 1;

// With SIO_FUZZ_TRACE set what happens is told, to understand a finding.
const bool traced = std::getenv("SIO_FUZZ_TRACE") != nullptr;

void trace_step(const char* where, uint32_t byte) {
  if (traced) std::fprintf(stderr, "%s %02x\n", where, byte);
}

struct Run {
  Input input;
  Peer peer{input};
};
Run* current = nullptr;

Asleep act_while_asleep() {
  auto& [input, peer] = *current;
  if (input.empty()) return peer.leave() ? Asleep::kSomething : Asleep::kNothing;
  const uint32_t step = input.byte() & 31;
  trace_step("asleep", step);
  if (step == kSignal) return Asleep::kSignal;
  if (step < Peer::kSteps) peer.act(step);
  return Asleep::kSomething;
}

void run_input(Run& run) {
  auto& [input, peer] = run;
  Program program(input);
  while (!input.empty()) {
    const uint32_t byte = input.byte();
    const uint32_t step = byte & 31;
    trace_step("step", byte);
    step < Peer::kSteps ? peer.act(step) : program.act(step - Peer::kSteps);
    if ((byte & 128) == 0) run_control();
  }
  program.end();
}

void trace_line(int, const char* line, void*) {
  if (traced) std::fprintf(stderr, "    %s\n", line);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  // The built-in settings, whatever this machine's are.
  setenv("SIO_CONFIG", "/dev/null", 1);
  sio_set_log(trace_line, SIO_LOG_DEBUG, nullptr);
  set_asleep(act_while_asleep);
  sio::internal::provider::instance();  // the descriptors that stay
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size < 4) return 0;
  Run run{Input(bytes, size)};
  current = &run;
  run_input(run);
  return 0;
}
