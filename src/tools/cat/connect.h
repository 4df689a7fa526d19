// SPDX-License-Identifier: BSD-2-Clause
//
// How a connection comes about.
#pragma once

#include <sio/sio.hpp>

#include "cat/memory.h"
#include "cat/options.h"

namespace sio_cat {

// To the first of the host's addresses that takes it.
sio::Socket connect_to_peer(const Options& options, const Memory& memory,
                            const sio::Channel& channel);

class Listener {
 public:
  Listener(const Options& options, const Memory& memory);
  // Waits for a peer.
  sio::Socket accept(const sio::Channel& channel) const;

 private:
  const Options& options_;
  sio::Socket socket_;
};

}  // namespace sio_cat
