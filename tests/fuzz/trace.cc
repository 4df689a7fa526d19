// SPDX-License-Identifier: BSD-2-Clause
#include "trace.h"

#include <sio/sio.h>

#include <cstdio>
#include <cstdlib>

namespace sio::test {
namespace {

const bool traced = std::getenv("SIO_FUZZ_TRACE") != nullptr;

void trace_line(int, const char* line, void*) {
  if (traced) std::fprintf(stderr, "    %s\n", line);
}

}  // namespace

void set_up_tracing() {
  setenv("SIO_CONFIG", "/dev/null", 1);
  sio_set_log(trace_line, SIO_LOG_DEBUG, nullptr);
}

void trace_step(const char* where, uint32_t byte) {
  if (traced) std::fprintf(stderr, "%s %02x\n", where, byte);
}

}  // namespace sio::test
