// SPDX-License-Identifier: BSD-2-Clause
//
// <sio/dma.h> with owners, for C++20: areas, and buffers in them. <sio/sio.hpp> says what holds for
// all.
#ifndef SIO_DMA_HPP
#define SIO_DMA_HPP

#include <sio/base.hpp>
#include <sio/dma.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <span>
#include <string_view>
#include <utility>

namespace sio {

class Buffer {
 public:
  Buffer() noexcept = default;
  // Takes over what the program owns: a reserved block or a received message.
  Buffer(void* data, size_t size, dma_mem_t area = nullptr) noexcept
      : data_(static_cast<std::byte*>(data)), size_(size), area_(area) {}
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  ~Buffer() { (void)release(); }

  explicit operator bool() const noexcept { return data_ != nullptr; }
  std::byte* data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }
  std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }

  // Gives it back to its area. EINVAL: it was not the program's any more.
  Status release() noexcept {
    if (data_ == nullptr) return {};
    return detail::status(sio_release(area_, give_up(), size_));
  }
  // Gives back so many of a stream's bytes, from the front, and keeps the others. More than there
  // are: EINVAL.
  Status release_front(size_t bytes) noexcept {
    if (bytes >= size_) return bytes == size_ ? release() : Status(EINVAL);
    const Status status = detail::status(sio_release(area_, data_, bytes));
    if (status) {
      data_ += bytes;
      size_ -= bytes;
    }
    return status;
  }
  // It is somebody else's to release from now on.
  std::byte* give_up() noexcept { return std::exchange(data_, nullptr); }

  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(area_, other.area_);
  }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  dma_mem_t area_ = nullptr;  // nullptr: found by address
};

// Goes after the sockets and buffers that use it, so it is declared before them: while some do it
// can not be freed. Sockets of a channel that were closed finish in the background (sio_close), so
// the destructor waits for them, up to 4 s: longer than one lingers unless SO_LINGER says more. An
// area of which something is reserved or received is not waited for. One that can not be freed
// stays, and its handle is lost; who wants to know calls free() before.
class Area {
 public:
  Area() noexcept = default;
  // flags: DMA_HUGE_2MB, DMA_HUGE_1GB.
  explicit Area(size_t bytes, unsigned flags = 0) : bytes_(bytes) {
    detail::checked(dma_alloc(&handle_, bytes, flags), "dma_alloc");
  }
  // The program's own mapping. flags: DMA_SEND.
  static Area import(std::span<std::byte> memory, unsigned flags = 0) {
    Area area;
    area.bytes_ = memory.size();
    detail::checked(dma_import(&area.handle_, memory.data(), memory.size(), flags), "dma_import");
    return area;
  }
  // Takes over an area.
  static Area own(dma_mem_t handle, size_t bytes) noexcept {
    Area area;
    area.handle_ = handle;
    area.bytes_ = bytes;
    return area;
  }
  Area(Area&& other) noexcept { swap(other); }
  Area& operator=(Area&& other) noexcept {
    Area(std::move(other)).swap(*this);
    return *this;
  }
  ~Area() { end(); }

  explicit operator bool() const noexcept { return handle_ != nullptr; }
  dma_mem_t handle() const noexcept { return handle_; }
  size_t size() const noexcept { return bytes_; }

  // Not ok: it is in use (EBUSY), and stays. Does not wait.
  Status free() noexcept {
    if (handle_ == nullptr) return {};
    const Status status = detail::status(dma_free(handle_, bytes_));
    if (status) handle_ = nullptr;
    return status;
  }

  // Empty: there is no room for it now (errno: ENOBUFS), or never will be (EMSGSIZE).
  Buffer reserve(size_t bytes) const noexcept {
    void* data = nullptr;
    if (sio_reserve(handle_, &data, bytes) != 0) return {};
    return {data, bytes, handle_};
  }
  struct dma_stat stat() const noexcept {
    struct dma_stat stat {};
    ::dma_stat(handle_, &stat);
    return stat;
  }

  void swap(Area& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(bytes_, other.bytes_);
  }

 private:
  void end() noexcept {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(4);
    while (free().error() == EBUSY && !ours() && std::chrono::steady_clock::now() < limit) {
      constexpr timespec kMillisecond{0, 1'000'000};
      nanosleep(&kMillisecond, nullptr);
    }
  }
  // Whether some of it is the program's, which no waiting changes.
  bool ours() const noexcept {
    const struct dma_stat now = stat();
    return now.reserved != 0 || now.received != 0;
  }

  dma_mem_t handle_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace sio

#endif
