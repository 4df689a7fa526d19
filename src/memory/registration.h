// SPDX-License-Identifier: BSD-2-Clause
#pragma once

namespace sio::internal {

// Connects the areas with the provider's devices: from here on each new area is registered with
// all of them. Cheap when done before. Throws what provider::instance() throws.
void register_areas_with_provider();

}  // namespace sio::internal
