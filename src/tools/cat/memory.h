// SPDX-License-Identifier: BSD-2-Clause
//
// What all connections send from and receive in.
#pragma once

#include <sio/sio.hpp>

#include <cstddef>

namespace sio_cat {

// As large as these messages are, a few of them keep the way busy, and are still in the processor's
// cache.
constexpr size_t kBlockBytes = 128 * 1024;
constexpr size_t kBlocks = 8;

class Memory {
 public:
  Memory();
  // Before it connects or listens.
  void associate_with(sio::Socket& socket) const;
  const sio::Area& sends() const { return sends_; }

 private:
  size_t receive_bytes_;
  sio::Area receives_;
  sio::Area sends_;
};

}  // namespace sio_cat
