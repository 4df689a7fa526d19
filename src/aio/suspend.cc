// SPDX-License-Identifier: BSD-2-Clause
//
// aio_cb_suspend.
#include <poll.h>

#include <algorithm>
#include <boost/container/small_vector.hpp>
#include <cerrno>

#include "aio/control_block.h"
#include "aio/requests.h"
#include "aio/suspension.h"
#include "base/deferred.h"
#include "event/channel_guard.h"
#include "socket/socket_guard.h"

namespace sio::internal {
namespace {

using ControlBlocks = std::span<const aio_cb* const>;

// With room for the requests of a list that is not long, so that to wait for them allocates
// nothing.
template <typename T>
using Few = boost::container::small_vector<T, 16>;

bool any_ended(ControlBlocks list) noexcept {
  return std::any_of(list.begin(), list.end(), [](const aio_cb* one) {
    return one != nullptr && ControlBlock(*one).ended();
  });
}

bool look_at_all(ControlBlocks list) {
  for (const aio_cb* one : list) {
    if (one == nullptr || ControlBlock(*one).ended()) continue;
    look_at_request(*one);
    Deferred::run_noted();
  }
  return any_ended(list);
}

// The request of a list whose requests all end under the lock of one channel: of sockets there, and
// told in it or in none. NULL: not so.
const aio_cb* one_of_those_of_one_channel(ControlBlocks list) {
  const aio_cb* first = nullptr;
  const Channel* channel = nullptr;
  for (const aio_cb* one : list) {
    if (one == nullptr) continue;
    SocketGuard socket = SocketGuard::of(one->aio_fildes);
    if (!socket) return nullptr;
    const Channel* const own = socket.channel().get();
    const sigevent& notice = one->aio_sigevent;
    if (notice.sigev_notify == SIGEV_EC && notice.sigev_ec != own->fd()) return nullptr;
    if (first != nullptr && own != channel) return nullptr;
    first = one;
    channel = own;
  }
  return first;
}

// As a blocking call on the socket: this thread takes the completions itself.
int wait_on_channel(const aio_cb& one, ControlBlocks list, TimePoint deadline) {
  SocketGuard socket = SocketGuard::of(one.aio_fildes);
  return socket ? socket.wait(deadline, [&] { return any_ended(list); }) : -EBADF;
}

// While a thread sleeps here the sockets of its requests go on without the program's calls.
class Tended {
 public:
  explicit Tended(ControlBlocks list) {
    channels_.reserve(list.size());
    for (const aio_cb* one : list) {
      if (one == nullptr) continue;
      SocketGuard socket = SocketGuard::of(one->aio_fildes);
      if (!socket) continue;
      socket.channel()->rely_on(true);
      channels_.push_back({socket.channel().get(), socket.channel()->generation()});
    }
  }
  ~Tended() {
    for (const auto& [channel, generation] : channels_) {
      const ChannelGuard guard(channel);
      if (guard->generation() == generation) guard->rely_on(false);
    }
  }
  Tended(const Tended&) = delete;
  Tended& operator=(const Tended&) = delete;

 private:
  struct Place {
    Channel* channel;
    uint64_t generation;
  };
  Few<Place> channels_;
};

// The rings that may have to be looked at: those of channels, since the control thread looks at
// the other one.
Few<pollfd> rings_of(ControlBlocks list) {
  Few<pollfd> rings;
  for (const aio_cb* one : list) {
    if (one == nullptr || one->aio_sigevent.sigev_notify != SIGEV_EC) continue;
    const ChannelGuard channel = ChannelGuard::of(one->aio_sigevent.sigev_ec);
    if (!channel || channel->requests() == nullptr) continue;
    const int fd = channel->requests()->descriptor();
    const bool known =
        std::any_of(rings.begin(), rings.end(), [=](const pollfd& ring) { return ring.fd == fd; });
    if (fd >= 0 && !known) rings.push_back({fd, POLLIN, 0});
  }
  return rings;
}

int sleep_until_one_ends(ControlBlocks list, TimePoint deadline) {
  Suspension suspension;
  const Tended tended(list);
  Few<pollfd> watched = rings_of(list);
  watched.push_back({suspension.fd(), POLLIN, 0});
  while (!look_at_all(list)) {
    if (is_over(deadline)) return -ETIMEDOUT;
    timespec left{};
    if (deadline != kNever) left = time_until(deadline);
    const auto count = static_cast<nfds_t>(watched.size());
    if (ppoll(watched.data(), count, deadline == kNever ? nullptr : &left, nullptr) < 0) {
      return any_ended(list) ? 0 : -errno;
    }
    suspension.clear();
  }
  return 0;
}

}  // namespace

int suspend_until_one_ends(ControlBlocks list, TimePoint deadline) {
  if (look_at_all(list)) return 0;
  if (const aio_cb* one = one_of_those_of_one_channel(list)) {
    const int result = wait_on_channel(*one, list, deadline);
    if (any_ended(list)) return 0;
    if (result != -EBADF) return result;  // another thread has closed that one
  }
  return sleep_until_one_ends(list, deadline);
}

}  // namespace sio::internal
