// SPDX-License-Identifier: BSD-2-Clause
#include "memory/registrar.h"

#include "base/error.h"

namespace sio::internal {
namespace {

Registrar current;  // set before there are threads that could read it

}  // namespace

void set_registrar(const Registrar& registrar) noexcept { current = registrar; }

const Registrar& registrar() {
  if (current.register_memory == nullptr) throw_errno(ENODEV, "no registrar");
  return current;
}

}  // namespace sio::internal
