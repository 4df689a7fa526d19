// SPDX-License-Identifier: BSD-2-Clause
#include <sio/dma.h>

#include "api/boundary.h"
#include "memory/area.h"
#include "memory/plain_release.h"
#include "memory/registration.h"
#include "socket/socket_guard.h"

using namespace sio::internal;

namespace {

// The flags of dma_alloc; false: not known.
bool page_size_of(unsigned flags, PageSize& pages) noexcept {
  switch (flags) {
    case 0:
      pages = PageSize::kAny;
      return true;
    case DMA_HUGE_2MB:
      pages = PageSize::kHuge2M;
      return true;
    case DMA_HUGE_1GB:
      pages = PageSize::kHuge1G;
      return true;
    default:
      return false;
  }
}

[[gnu::noinline]] int release(dma_mem_t dma, void* mem, size_t size) noexcept {
  return call([&] {
    Area* area = dma != nullptr ? Area::from_handle(dma) : Area::find(mem);
    return area != nullptr ? area->release(mem, size) : -EINVAL;
  });
}

[[gnu::noinline]] int release_not_plain(Area* area, void* mem, size_t size) noexcept {
  return call([&] { return area->release_not_plain(mem, size); });
}

// The last of many, perhaps: then a socket wants to hear of it.
[[gnu::noinline]] int return_released(Region* region, uint32_t slot) noexcept {
  return call([&] { return region->return_released(slot); });
}

}  // namespace

int dma_alloc(dma_mem_t* handlep, size_t size, unsigned int flags) {
  return call([&] {
    PageSize pages;
    if (handlep == nullptr || size == 0 || !page_size_of(flags, pages)) return -EINVAL;
    register_areas_with_provider();
    *handlep = Area::create(size, pages)->handle();
    return 0;
  });
}

int dma_import(dma_mem_t* handlep, void* addr, size_t size, unsigned int flags) {
  return call([&] {
    if (handlep == nullptr || (flags & ~DMA_SEND) != 0) return -EINVAL;
    register_areas_with_provider();
    *handlep = Area::import(addr, size, flags == 0)->handle();
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
    if (area == nullptr || (flags & ~(DMA_SEND | DMA_RECV | DMA_SHARED)) != 0) return -EINVAL;
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

// The first of those that each message passes, which the linker puts side by side: so they lie in
// one page (tests/packaging/one_page).
[[gnu::hot, gnu::aligned(4096)]] int sio_release(dma_mem_t dma, void* mem, size_t size) {
  Area* const area = Area::from_handle(dma);
  if (area == nullptr) [[unlikely]]
    return release(dma, mem, size);
  return area->release_plain(
      mem, size, [](Region& region, uint32_t slot) { return return_released(&region, slot); },
      [=] { return release_not_plain(area, mem, size); });
}
