// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <pthread.h>

namespace sio::internal {

// Starts a thread of the library's own, called `name` (at most 15 characters). All signals are the
// program's: none is delivered to a thread that it does not know of, but for those that a fault
// of that thread raises, which the program's handlers are to see. Throws std::system_error.
pthread_t start_thread(const char* name, void* (*run)(void*), void* argument);

}  // namespace sio::internal
