// SPDX-License-Identifier: BSD-2-Clause
#include <mutex>

#include "provider/provider.h"

namespace sio::internal::provider {
namespace {

Factory factory = create_verbs_provider;

}  // namespace

void set_factory(Factory make) noexcept { factory = make; }

// Not a static local with an initialiser that throws: a device may appear later, so that each
// call tries again until one succeeds. Never destroyed: nothing of the library runs at exit.
Provider& instance() {
  static std::mutex* const mutex = new std::mutex;
  static Provider* provider = nullptr;
  const std::lock_guard lock(*mutex);
  if (provider == nullptr) provider = factory().release();
  return *provider;
}

}  // namespace sio::internal::provider
