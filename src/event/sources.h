// SPDX-License-Identifier: BSD-2-Clause
//
// What a program has added to a channel, sockets apart: plain descriptors, known by their number,
// and the rest, known by an id. Under the channel's lock.
#pragma once

#include <sys/epoll.h>

#include <map>
#include <memory>
#include <vector>

#include "event/added_source.h"
#include "event/fd_source.h"

namespace sio::internal {

class Sources {
 public:
  using Owner = std::unique_ptr<AddedSource>;
  using Owners = std::map<int, Owner>;

  explicit Sources(int epoll) noexcept : epoll_(epoll) {}

  bool empty() const noexcept { return fds_.empty() && others_.empty(); }

  // 0 or -errno; -ESTALE: the one of this number was closed by the program, and is to be removed.
  int add_fd(int fd, uint32_t events, void* cookie);
  // The descriptor's source, which the caller takes out of the ring and forgets.
  FdSource* find_fd(int fd) noexcept;
  int mod_fd(FdSource& source, uint32_t events, void* cookie) noexcept;
  void remove_fd(FdSource& source) noexcept;

  // The id, from 1; or -errno.
  int add(Owner source);
  AddedSource* find(int id) noexcept;
  Owner remove(int id) noexcept;
  // All that have an id.
  Owners remove_all() noexcept;

  // By what epoll says (AddedSource::name); nullptr: it has gone.
  AddedSource* named(uint64_t name) noexcept;
  // Its event was taken: it is to be armed again, when the channel is looked at next.
  void rearm_later(AddedSource& source) noexcept { rearm_.push_back(&source); }
  void rearm() noexcept;

 private:
  int watch(int operation, const AddedSource& source) const noexcept;
  bool still_there(int fd) const noexcept;
  void make_room();

  const int epoll_;
  std::map<int, std::unique_ptr<FdSource>> fds_;
  Owners others_;
  std::vector<AddedSource*> rearm_;  // has room for all
  int last_id_ = 0;
  uint32_t last_generation_ = 0;
};

}  // namespace sio::internal
