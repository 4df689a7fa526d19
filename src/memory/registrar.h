// SPDX-License-Identifier: BSD-2-Clause
//
// How areas reach the devices without this folder knowing of any.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sio::internal {

inline constexpr unsigned kMaxDevices = 8;

struct Registrar {
  // Registers [p, p+n) with every selected device for local access only (not `writable`: for
  // sending from), fills lkeys by device index and returns a token (not null) for deregister.
  // Throws std::system_error.
  void* (*register_memory)(void* p, size_t n, bool writable,
                           std::array<uint32_t, kMaxDevices>& lkeys) = nullptr;
  void (*deregister)(void* token) noexcept = nullptr;
};

// Set by the layer above before the first area is made; not changed while there are areas.
void set_registrar(const Registrar& registrar) noexcept;

// Throws ENODEV if none was set.
const Registrar& registrar();

}  // namespace sio::internal
