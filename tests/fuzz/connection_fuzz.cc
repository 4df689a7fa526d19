// SPDX-License-Identifier: BSD-2-Clause
//
// A whole connection: the library above the seam between a program (program.h) and a peer
// (peer.h), both of whom do as the input says. Its first four bytes are the kind of program. Then
// come steps: a byte each, and what they ask for. 0 to 15 and 32 to 47 are the peer's, 16 to 31 and
// 48 to 63 the program's; with 128 added the control thread is late. While the program sleeps in a
// call the peer's steps go on; when the input is over the peer leaves.
#include <sio/aio.h>
#include <sio/sio.h>

#include "must.h"
#include "one_thread.h"
#include "peer.h"
#include "program.h"
#include "trace.h"

using namespace sio::test;

namespace {

constexpr uint32_t kSignal = 31;

// What was accepted leaves within this time, whatever the program does.
constexpr std::chrono::milliseconds kMostHeldBack{2};

bool is_peers(uint32_t byte) { return (byte & 16) == 0; }
// Whose it is aside.
uint32_t step_in(uint32_t byte) { return (byte & 15) | (byte & 32) >> 1; }

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
    if (is_peers(byte) && peer.passed() > kMostHeldBack) {
      for (const PuppetPair* pair : puppet().pairs) MUST(!pair->is_held_back());
    }
  }
  program.end();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  set_up_tracing();
  set_asleep(act_while_asleep);
  // The descriptors that stay.
  sio::internal::provider::instance();
  aio_cb nowhere{};
  nowhere.aio_fildes = sio_socket(AF_INET, SOCK_SEQPACKET, 0);
  nowhere.aio_sigevent.sigev_notify = SIGEV_NONE;
  aio_recv(&nowhere, 0);
  sio_close(nowhere.aio_fildes);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size < 5) return 0;
  Run run{Input(bytes, size)};
  current = &run;
  run_input(run);
  return 0;
}
