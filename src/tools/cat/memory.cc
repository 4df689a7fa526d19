// SPDX-License-Identifier: BSD-2-Clause
#include "cat/memory.h"

namespace sio_cat {
namespace {

constexpr size_t kControlSlots = 4;  // that dma_assoc adds

// Slots for short messages, and as many blocks for long ones as a sender has.
size_t receive_memory() {
  const sio::Socket any(AF_INET);
  const auto slots = static_cast<size_t>(any.get<int>(SIO_RECV_SLOTS));
  const auto slot_bytes = static_cast<size_t>(any.get<int>(SIO_SLOT_SIZE));
  return (slots + kControlSlots) * slot_bytes + kBlocks * kBlockBytes;
}

}  // namespace

Memory::Memory()
    : receive_bytes_(receive_memory()), receives_(receive_bytes_), sends_(kBlocks * kBlockBytes) {}

void Memory::associate_with(sio::Socket& socket) const {
  socket.associate(receives_, receive_bytes_, DMA_RECV).associate(sends_, DMA_SEND);
}

}  // namespace sio_cat
