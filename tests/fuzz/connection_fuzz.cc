// SPDX-License-Identifier: BSD-2-Clause
//
// A whole connection: the library above the seam between a program (program.h) and a peer
// (peer.h), both of whom do as the input says. Its first four bytes are the kind of program. Then
// come steps: a byte each, and what they ask for. 0 to 15 and 32 to 47 are the peer's, 16 to 31 and
// 48 to 63 the program's; with 128 added the control thread is late. While the program sleeps in a
// call the peer's steps go on; when the input is over the peer leaves.
#include <sio/sio.h>

#include <cstdio>
#include <cstdlib>

#include "one_thread.h"
#include "peer.h"
#include "program.h"

using namespace sio::test;

namespace {

constexpr uint32_t kSignal = 31;

bool is_peers(uint32_t byte) { return (byte & 16) == 0; }
// Whose it is aside.
uint32_t step_in(uint32_t byte) { return (byte & 15) | (byte & 32) >> 1; }

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
  const uint32_t byte = input.byte() & 63;
  trace_step("asleep", byte);
  if (byte == kSignal) return Asleep::kSignal;
  if (is_peers(byte)) peer.act(step_in(byte));
  return Asleep::kSomething;
}

void run_input(Run& run) {
  auto& [input, peer] = run;
  Program program(input);
  while (!input.empty()) {
    const uint32_t byte = input.byte();
    trace_step("step", byte);
    is_peers(byte) ? peer.act(step_in(byte)) : program.act(step_in(byte));
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
  if (size < 5) return 0;
  Run run{Input(bytes, size)};
  current = &run;
  run_input(run);
  return 0;
}
