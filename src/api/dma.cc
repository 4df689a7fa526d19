// SPDX-License-Identifier: BSD-2-Clause
#include <sio/dma.h>

#include "api/boundary.h"
#include "memory/area.h"
#include "memory/registration.h"
#include "socket/socket.h"

using namespace sio::internal;

int dma_alloc(dma_mem_t* handlep, size_t size, unsigned int flags) {
  return call([&] {
    if (handlep == nullptr || size == 0 || flags != 0) return -EINVAL;
    register_areas_with_provider();
    *handlep = Area::create(size, flags)->handle();
    return 0;
  });
}

int dma_free(dma_mem_t handle, size_t size) {
  return call([&] { return Area::destroy(handle, size); });
}

int dma_assoc(int sock, dma_mem_t mem, size_t size, unsigned flags) {
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    if (!socket) return -EBADF;
    Area* area = Area::from_handle(mem);
    if (area == nullptr || (flags & ~(DMA_SEND | DMA_RECV)) != 0) return -EINVAL;
    return socket->associate(*area, size, flags);
  });
}

int dma_disassoc(int sock, dma_mem_t mem, size_t size) {
  return call([&] {
    SocketGuard socket = SocketGuard::of(sock);
    if (!socket) return -EBADF;
    Area* area = Area::from_handle(mem);
    if (area == nullptr) return -EINVAL;
    return socket->dissociate(*area, size);
  });
}

int dma_stat(dma_mem_t mem, struct dma_stat* stat) {
  return call([&] {
    Area* area = Area::from_handle(mem);
    if (area == nullptr || stat == nullptr) return -EINVAL;
    area->stat(*stat);
    return 0;
  });
}

int sio_reserve(dma_mem_t dma, void** memp, size_t size) {
  return call([&] {
    Area* area = Area::from_handle(dma);
    if (area == nullptr || memp == nullptr) return -EINVAL;
    return area->reserve(memp, size);
  });
}

int sio_release(dma_mem_t dma, void* mem, size_t size) {
  return call([&] {
    Area* area = dma != nullptr ? Area::from_handle(dma) : Area::find(mem);
    return area != nullptr ? area->release(mem, size) : -EINVAL;
  });
}
