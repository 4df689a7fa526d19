// SPDX-License-Identifier: BSD-2-Clause
//
// Channels: sources that are no sockets, and the descriptors they are seen by.
#include <fcntl.h>

#include <algorithm>

#include "base/error.h"
#include "event/channel_guard.h"

namespace sio::internal {

void Channel::watch(int epoll, int fd, uint64_t data) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = data;
  check_errno(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

void Channel::take_ready(const epoll_event* ready, int n) noexcept {
  for (int i = 0; i < n; ++i) {
    // Perhaps of a completion that has been taken: then nothing but this tells of it.
    if (ready[i].data.u64 == kNotification) hub_->notified();
    if (ready[i].data.u64 == kRequests) look_at_requests();
    if ((ready[i].data.u64 & kOurs) != 0) continue;
    AddedSource* source = sources_->named(ready[i].data.u64);
    if (source == nullptr) continue;
    source->becomes_ready(ready[i].events);
    offer(source);
  }
}

// What the sources have to say. Those whose event was taken are armed again first.
void Channel::harvest() noexcept {
  if (sources_->empty()) return;
  sources_->rearm();
  epoll_event ready[kMostReady];
  take_ready(ready, std::max(epoll_wait(epoll_.get(), ready, kMostReady, 0), 0));
}

int Channel::add_fd(int fd, uint32_t events, void* cookie) {
  stir();
  int result = sources_->add_fd(fd, events, cookie);
  if (result == -ESTALE) {
    del_fd(fd);
    result = sources_->add_fd(fd, events, cookie);
  }
  return result;
}

int Channel::mod_fd(int fd, uint32_t events, void* cookie) noexcept {
  FdSource* source = sources_->find_fd(fd);
  if (source == nullptr) return fcntl(fd, F_GETFD) < 0 ? -EBADF : -ENOENT;
  drop(source);
  source->dropped();
  return sources_->mod_fd(*source, events, cookie);
}

int Channel::del_fd(int fd) noexcept {
  FdSource* source = sources_->find_fd(fd);
  if (source == nullptr) return -ENOENT;
  drop(source);
  forget(source);
  sources_->remove_fd(*source);
  return 0;
}

int Channel::add_source(Sources::Owner source) {
  stir();
  if (source->fd() >= 0) forget_closed_fd(source->fd());
  return sources_->add(std::move(source));
}

void Channel::drop(AddedSource* source) noexcept {
  ring_->drop(source, [](const EventNote&) { return true; });
}

Sources::Owner Channel::del_source(int id) noexcept {
  Sources::Owner source = sources_->remove(id);
  if (source) {
    drop(source.get());
    forget(source.get());
  }
  return source;
}

void Channel::set_requests(std::unique_ptr<RequestSource> requests) noexcept {
  requests_ = std::move(requests);
  stir();
}

void Channel::run() noexcept {
  const ChannelGuard guard(this);
  if (!ring_) return;
  look_at_requests();
  if (extension_ != nullptr) extension_->look();
}

void Channel::watch_requests(int fd) {
  forget_closed_fd(fd);
  watch(epoll_.get(), fd, kRequests);
}

std::unique_ptr<RequestSource> Channel::del_requests() noexcept {
  if (requests_ != nullptr) {
    drop(requests_.get());
    forget(requests_.get());
  }
  return std::move(requests_);
}

Sources::Owners Channel::del_sources() noexcept {
  Sources::Owners all = sources_->remove_all();
  for (const auto& [id, source] : all) {
    drop(source.get());
    forget(source.get());
  }
  return all;
}

}  // namespace sio::internal
