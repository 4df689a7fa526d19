// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdint>

namespace sio::test {

// Before the first input: the built-in settings, whatever this machine's are; and with
// SIO_FUZZ_TRACE set the library's log and trace_step() are told, to understand a finding.
void set_up_tracing();
void trace_step(const char* where, uint32_t byte);

}  // namespace sio::test
