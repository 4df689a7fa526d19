// SPDX-License-Identifier: BSD-2-Clause
//
// A provider that stands before another one and makes things go wrong (fault_plan.h): posts,
// registrations and connections fail, completions come late (but in order within a queue pair) or
// with another status, connections drop, addresses are not found or late. It breaks none of the
// rules of verbs: once a queue pair has had a completion that failed it is in the error state, and
// the rest is flushed.
#pragma once

#include <memory>

#include "faults/fault_plan.h"
#include "provider/provider.h"

namespace sio::test {

// Before another one: for internal::provider::set_factory.
std::unique_ptr<internal::provider::Provider> create_faulty_soft_provider();

}  // namespace sio::test
