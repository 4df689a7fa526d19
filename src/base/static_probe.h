// SPDX-License-Identifier: BSD-2-Clause
//
// Static probes (USDT), for bpftrace and the like; sio_probes(7) says what each tells. A probe is
// a nop, and a note beside the code which says where its arguments are: so these are values that
// are at hand, in a register or in memory, and nothing is computed for them. Built without
// <sys/sdt.h> it is nothing.
#pragma once

#ifdef SIO_HAS_PROBES
#include <sys/sdt.h>

// All have three arguments: the socket's descriptor and two more. As STAP_PROBE3, but for `inline`:
// else the compiler takes the lines of the note for instructions, and no more inlines what has one.
#define STATIC_PROBE(name, fd, second, third)                      \
  asm inline volatile(_SDT_ASM_BODY(sio, name, _SDT_ASM_ARGS, (3)) \
                          _SDT_ASM_BASE::_SDT_ASM_OPERANDS_3(fd, second, third))
#else
#define STATIC_PROBE(name, fd, second, third) static_cast<void>(0)
#endif
