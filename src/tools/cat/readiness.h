// SPDX-License-Identifier: BSD-2-Clause
//
// Whether the input can be read from, or the output be written to, without waiting.
#pragma once

#include <sio/ec.hpp>

namespace sio_cat {

// 1. Asking costs one poll(2). Only of a descriptor that is not ready the channel is told, once: so
// one that always is costs no
//    events, and one that nobody can use now (no room at the peer) wakes nobody.
// 2. The descriptor's flags stay as they are: O_NONBLOCK would be the shell's, too.
class Readiness {
 public:
  // `events`: EPOLLIN or EPOLLOUT.
  Readiness(const sio::Channel& channel, int fd, uint32_t events);
  ~Readiness();
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;

  // False: an event of the channel, with `this` for its cookie, tells when it is.
  bool ready();
  void on_event() { waiting_ = false; }

 private:
  const sio::Channel& channel_;
  const int fd_;
  const uint32_t events_;
  bool always_ = false;  // a file, which epoll does not take
  bool waiting_ = false;
};

}  // namespace sio_cat
