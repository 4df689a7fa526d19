// SPDX-License-Identifier: BSD-2-Clause
//
// Events of the connection manager, for a program in which the library's control thread does not
// run: a thread of our own takes them, and lets the provider do meanwhile what a device does.
#pragma once

#include <optional>

#include "conformance/support.h"
#include "provider/provider.h"

namespace sio::test {

internal::provider::ConnectionManager& connections();

// Of this endpoint; of any. Nothing: none came in that time.
std::optional<internal::provider::ConnectionEvent> try_next_event(
    milliseconds limit, const internal::provider::Endpoint* of = nullptr);
// Throws when none comes, or another one than is wanted.
internal::provider::ConnectionEvent next_event(const internal::provider::Endpoint* of = nullptr);
internal::provider::ConnectionEvent expect_event(internal::provider::ConnectionEvent::Kind wanted,
                                                 const internal::provider::Endpoint* of = nullptr);

// For calls that return -errno.
void must_not_fail(int result, const char* what);

}  // namespace sio::test
