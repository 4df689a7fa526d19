// SPDX-License-Identifier: BSD-2-Clause
#pragma once

namespace sio::internal::stats {

// Keeps the figures of all sockets where sio_stat(1) reads them, if the setting `stats` says so:
// from here on the control thread writes them down ten times a second. If it can not, the log says
// why and all else goes on. Cheap when done before.
void keep_figures() noexcept;

}  // namespace sio::internal::stats
