// SPDX-License-Identifier: BSD-2-Clause
//
// What the machine's RDMA devices have counted, and what exists on them.
#pragma once

#include <optional>
#include <string>

#include "conformance/support.h"

namespace sio::test {

// Sum of all hardware counters about receiver-not-ready; nothing where no device has such.
std::optional<uint64_t> count_rnr();

// "qp N cq N mr N ..." of all devices together (`rdma resource`); "" where that says nothing.
std::string verbs_objects();

// Of this process.
size_t open_descriptors();
size_t resident_bytes() noexcept;  // asks for no memory
size_t heap_bytes();               // in use

}  // namespace sio::test
