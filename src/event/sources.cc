// SPDX-License-Identifier: BSD-2-Clause
#include "event/sources.h"

#include <cerrno>
#include <limits>
#include <utility>

namespace sio::internal {

int Sources::watch(int operation, const AddedSource& source) const noexcept {
  epoll_event event{};
  event.events = source.epoll_bits();
  event.data.u64 = source.name();
  return epoll_ctl(epoll_, operation, source.fd(), &event) == 0 ? 0 : -errno;
}

void Sources::make_room() { rearm_.reserve(fds_.size() + others_.size() + 1); }

// Whether what epoll knows by this number is what the descriptor is. Changes nothing: EPOLL_CTL_MOD
// would arm what is one-shot, and have what is ready told of once more.
bool Sources::still_there(int fd) const noexcept {
  epoll_event nothing{};  // nobody has this name
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &nothing) != 0) return errno == EEXIST;
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  return false;
}

int Sources::add_fd(int fd, uint32_t events, void* cookie) {
  if (const auto found = fds_.find(fd); found != fds_.end()) {
    return still_there(fd) ? -EEXIST : -ESTALE;
  }
  make_room();
  auto source = std::make_unique<FdSource>(fd, events, cookie);
  last_generation_ = last_generation_ % AddedSource::kMostGenerations + 1;
  source->set_name(uint64_t{last_generation_} << AddedSource::kGenerationShift |
                   static_cast<uint64_t>(fd));
  FdSource& added = *fds_.emplace(fd, std::move(source)).first->second;
  const int result = watch(EPOLL_CTL_ADD, added);
  if (result != 0) fds_.erase(fd);
  return result;
}

FdSource* Sources::find_fd(int fd) noexcept {
  const auto found = fds_.find(fd);
  return found == fds_.end() ? nullptr : found->second.get();
}

int Sources::mod_fd(FdSource& source, uint32_t events, void* cookie) noexcept {
  source.set(events, cookie);
  return watch(EPOLL_CTL_MOD, source);
}

void Sources::remove_fd(FdSource& source) noexcept {
  std::erase(rearm_, &source);
  epoll_ctl(epoll_, EPOLL_CTL_DEL, source.fd(), nullptr);  // fails if the program closed it before
  fds_.erase(source.fd());
}

// Ids are not used again soon, so that a late ec_del finds nothing rather than something else.
int Sources::add(Owner source) {
  make_room();
  do {
    last_id_ = last_id_ == std::numeric_limits<int>::max() ? 1 : last_id_ + 1;
  } while (others_.count(last_id_) > 0);
  source->set_name(static_cast<uint64_t>(last_id_));
  AddedSource& added = *others_.emplace(last_id_, std::move(source)).first->second;
  if (added.fd() >= 0) {
    if (const int result = watch(EPOLL_CTL_ADD, added); result != 0) {
      others_.erase(last_id_);
      return result;
    }
  }
  return last_id_;
}

AddedSource* Sources::find(int id) noexcept {
  const auto found = others_.find(id);
  return found == others_.end() ? nullptr : found->second.get();
}

Sources::Owner Sources::remove(int id) noexcept {
  const auto found = others_.find(id);
  if (found == others_.end()) return nullptr;
  Owner source = std::move(found->second);
  others_.erase(found);
  std::erase(rearm_, source.get());
  if (source->fd() >= 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, source->fd(), nullptr);
  return source;
}

Sources::Owners Sources::remove_all() noexcept {
  for (const auto& [id, source] : others_) {
    std::erase(rearm_, source.get());
    if (source->fd() >= 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, source->fd(), nullptr);
  }
  return std::exchange(others_, {});
}

AddedSource* Sources::named(uint64_t name) noexcept {
  const auto number = static_cast<int>(name & 0xffff'ffff);
  if (name >> AddedSource::kGenerationShift == 0) return find(number);
  FdSource* const source = find_fd(number);
  return source != nullptr && source->name() == name ? source : nullptr;
}

void Sources::rearm() noexcept {
  for (const AddedSource* source : rearm_) watch(EPOLL_CTL_MOD, *source);
  rearm_.clear();
}

}  // namespace sio::internal
