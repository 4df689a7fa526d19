// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdio>
#include <cstdlib>

// What must hold, whatever the input is. The fuzzer reports the abort.
#define MUST(holds)                                                                   \
  do {                                                                                \
    if (!(holds)) {                                                                   \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #holds); \
      std::abort();                                                                   \
    }                                                                                 \
  } while (false)
