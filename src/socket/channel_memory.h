// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <memory>
#include <vector>

#include "event/channel.h"
#include "socket/shared_receives.h"
#include "socket/staging.h"

namespace sio::internal {

// The memory that the sockets of a channel have together. Used under the channel's lock.
class ChannelMemory final : public ChannelExtension {
 public:
  explicit ChannelMemory(Channel& channel) noexcept : channel_(channel) {}
  static ChannelMemory& of(Channel& channel);

  StagingPool& staging(provider::Device& device) { return staging_.of(device); }

  // The receive memory that sockets with this association share, made if there is none yet; of this
  // device, or null: not known yet. Throws EINVAL (it is shared already, with other slots),
  // ENOBUFS.
  std::shared_ptr<SharedReceives> share(const SharedReceives::Geometry& geometry,
                                        provider::Device* device);

  void look() noexcept override;

 private:
  Channel& channel_;
  StagingPools staging_;
  std::vector<std::weak_ptr<SharedReceives>> shared_;  // who shares owns
};

}  // namespace sio::internal
