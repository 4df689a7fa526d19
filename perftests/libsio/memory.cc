// SPDX-License-Identifier: BSD-2-Clause
#include "libsio/memory.h"

#include <netinet/in.h>

#include <cerrno>

#include "libsio/endpoint.h"
#include "process.h"

namespace sio_perf {
namespace {

constexpr size_t kCacheLine = 64;
constexpr size_t kControlSlots = 4;  // that dma_assoc adds

// Room for that many blocks, which begin on cache lines.
size_t room_for(uint32_t size, size_t blocks) {
  return blocks * ((size + kCacheLine - 1) / kCacheLine * kCacheLine);
}

size_t option(int socket, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  if (sio_getsockopt(socket, SOL_SIO, name, &value, &length) != 0) {
    fail_with_errno("sio_getsockopt");
  }
  return static_cast<size_t>(value);
}

// Slots, and what longer messages need beside them; 0 when there are to be none of these.
size_t receive_memory(uint32_t size, size_t messages) {
  const SioSocket socket(sio_socket(AF_INET, SOCK_SEQPACKET, 0));
  if (socket.get() < 0) fail_with_errno("sio_socket");
  const size_t slot = option(socket.get(), SIO_SLOT_SIZE);
  if (size <= slot || messages == 0) return 0;
  return (option(socket.get(), SIO_RECV_SLOTS) + kControlSlots) * slot + room_for(size, messages);
}

std::optional<SioArea> area_unless_none(size_t bytes) {
  return bytes > 0 ? std::optional<SioArea>(bytes) : std::nullopt;
}

void associate(int socket, const SioArea& area, unsigned direction) {
  if (dma_assoc(socket, area.get(), area.size(), direction) != 0) fail_with_errno("dma_assoc");
}

}  // namespace

SioArea::SioArea(size_t size) : size_(size) {
  if (dma_alloc(&area_, size, 0) != 0) {
    fail_with_errno("no DMA area of " + std::to_string(size) + " bytes",
                    errno == ENODEV ? "see `rdma link` for active RDMA devices" : nullptr);
  }
}

SioMemory::SioMemory(uint32_t size, size_t sends, size_t receives)
    : receives_(area_unless_none(receive_memory(size, receives))), sends_(room_for(size, sends)) {}

void SioMemory::associate_with(int socket) const {
  associate(socket, sends_, DMA_SEND);
  if (receives_) associate(socket, *receives_, DMA_RECV);
}

}  // namespace sio_perf
