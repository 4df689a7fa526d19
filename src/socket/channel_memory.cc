// SPDX-License-Identifier: BSD-2-Clause
#include "socket/channel_memory.h"

#include "base/error.h"

namespace sio::internal {

ChannelMemory& ChannelMemory::of(Channel& channel) {
  if (channel.extension() == nullptr) {
    channel.extension() = std::make_unique<ChannelMemory>(channel);
  }
  return static_cast<ChannelMemory&>(*channel.extension());
}

std::shared_ptr<SharedReceives> ChannelMemory::share(const SharedReceives::Geometry& geometry,
                                                     provider::Device* device) {
  std::erase_if(shared_, [](const auto& one) { return one.expired(); });
  for (const auto& weak : shared_) {
    const std::shared_ptr<SharedReceives> one = weak.lock();
    if (one->geometry().area != geometry.area || one->geometry().bytes != geometry.bytes) continue;
    if (one->geometry() != geometry) throw_errno(EINVAL, "slots of shared receive memory");
    if (one->serves(device)) return one;
  }
  auto made = std::make_shared<SharedReceives>(channel_, geometry);
  shared_.push_back(made);
  return made;
}

void ChannelMemory::look() noexcept {
  for (size_t i = 0; i < shared_.size(); ++i) {
    if (const auto one = shared_[i].lock()) one->look();
  }
}

}  // namespace sio::internal
