// SPDX-License-Identifier: BSD-2-Clause
#include "socket/datagram_groups.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "socket/datagram_peers.h"
#include "socket/dispatch.h"

namespace sio::internal {

using provider::ConnectionEvent;

void DatagramGroups::clear() noexcept {
  detach_all();
  for (const Group& one : groups_) dispatch_to_nobody(one.endpoint->serial());
  groups_.clear();
}

void DatagramGroups::detach_all() noexcept {
  for (const Group& one : groups_) {
    if (one.destination != nullptr && pair_ != nullptr) pair_->detach(*one.destination);
  }
  pair_ = nullptr;
}

void DatagramGroups::attach_all(provider::QueuePair& pair) noexcept {
  pair_ = &pair;
  for (const Group& one : groups_) {
    if (one.destination == nullptr) continue;
    if (const int error = pair_->attach(*one.destination)) {
      LOG_WARN("a datagram socket does not come back into a group: %s", errno_text(-error));
    }
  }
}

DatagramGroups::Group* DatagramGroups::find(const InetAddress& group) noexcept {
  const auto found = std::find_if(groups_.begin(), groups_.end(),
                                  [&](const Group& one) { return one.address == group; });
  return found == groups_.end() ? nullptr : &*found;
}

bool DatagramGroups::has(const InetAddress& group) const noexcept {
  return std::any_of(groups_.begin(), groups_.end(), [&](const Group& one) {
    return one.error == 0 && one.address == group.with_scope(one.address.scope());
  });
}

bool DatagramGroups::owns(uint64_t serial) const noexcept {
  return std::any_of(groups_.begin(), groups_.end(),
                     [&](const Group& one) { return one.endpoint->serial() == serial; });
}

int DatagramGroups::join(Socket& socket, const InetAddress& group) {
  if (find(group) != nullptr) return -EADDRINUSE;
  if (groups_.size() == kMost) return -ENOBUFS;
  groups_.reserve(kMost);
  auto endpoint = provider::instance().connections().create_datagram_endpoint();
  const sockaddr_storage self = local_.with_port(0).to_storage();
  if (const int error = endpoint->bind(reinterpret_cast<const sockaddr*>(&self), false)) {
    return -error_of_address(-error);
  }
  const uint64_t serial = endpoint->serial();
  dispatch_to(serial, &socket);
  const sockaddr_storage to = group.to_storage();
  if (const int error = endpoint->join(reinterpret_cast<const sockaddr*>(&to), true)) {
    dispatch_to_nobody(serial);
    return -error_of_address(-error);
  }
  groups_.push_back({group, std::move(endpoint), nullptr});
  return 0;
}

void DatagramGroups::on_event(ConnectionEvent& event) noexcept {
  for (Group& one : groups_) {
    if (one.endpoint->serial() != event.endpoint || one.error != EINPROGRESS) continue;
    const bool joined =
        event.kind == ConnectionEvent::Kind::kEstablished && event.destination != nullptr;
    if (joined && pair_ != nullptr) {
      one.error = error_of_address(-pair_->attach(*event.destination));
      if (one.error == 0) one.destination = std::move(event.destination);
    } else {
      one.error = error_of_address(event.error != 0 ? event.error : EHOSTUNREACH);
    }
    if (one.error != 0) LOG_DEBUG("a group is not joined: %s", errno_text(one.error));
  }
}

int DatagramGroups::outcome(const InetAddress& group) noexcept {
  const Group* const one = find(group);
  return one == nullptr ? -EADDRNOTAVAIL : -one->error;
}

int DatagramGroups::leave(const InetAddress& group) noexcept {
  Group* const one = find(group);
  if (one == nullptr) return -EADDRNOTAVAIL;
  if (one->destination != nullptr && pair_ != nullptr) pair_->detach(*one->destination);
  dispatch_to_nobody(one->endpoint->serial());
  groups_.erase(groups_.begin() + (one - groups_.data()));
  return 0;
}

}  // namespace sio::internal
