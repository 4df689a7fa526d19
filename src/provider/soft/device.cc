// SPDX-License-Identifier: BSD-2-Clause
#include "provider/soft/device.h"

#include <arpa/inet.h>

#include "provider/soft/completion.h"
#include "provider/soft/datagram_frame.h"
#include "provider/soft/shared_receive_queue.h"

namespace sio::internal::provider::soft {
namespace {

class SoftMemoryRegion final : public MemoryRegion {
 public:
  SoftMemoryRegion(MemoryTable& table, const void* base, size_t size, bool writable)
      : table_(table), key_(table.add(base, size, writable)) {}
  ~SoftMemoryRegion() override { table_.remove(key_); }
  SoftMemoryRegion(const SoftMemoryRegion&) = delete;
  SoftMemoryRegion& operator=(const SoftMemoryRegion&) = delete;
  uint32_t lkey() const noexcept override { return key_; }

 private:
  MemoryTable& table_;
  const uint32_t key_;
};

}  // namespace

std::unique_ptr<MemoryRegion> SoftDevice::register_memory(void* base, size_t size, bool writable) {
  return std::make_unique<SoftMemoryRegion>(memory_, base, size, writable);
}

std::unique_ptr<CompletionChannel> SoftDevice::create_completion_channel() {
  return std::make_unique<SoftCompletionChannel>(attendant_);
}

std::unique_ptr<SharedReceiveQueue> SoftDevice::create_shared_receive_queue(uint32_t receives) {
  return std::make_unique<SoftSharedReceiveQueue>(receives);
}

PortInfo SoftDevice::port_info(const sockaddr_storage& local) const {
  PortInfo info;
  info.device = name_;
  info.port = 1;
  info.mtu = kDatagramMtu;
  char text[INET6_ADDRSTRLEN];
  if (local.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(local).sin6_addr, text, sizeof text);
    info.gid = text;
  } else {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(local).sin_addr, text, sizeof text);
    info.gid = std::string("::ffff:") + text;
  }
  return info;
}

}  // namespace sio::internal::provider::soft
