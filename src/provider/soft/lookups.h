// SPDX-License-Identifier: BSD-2-Clause
//
// Questions for the queue pair at an address of UDP, asked again until there is an answer.
#pragma once

#include <map>
#include <mutex>

#include "base/clock.h"
#include "base/fd.h"
#include "provider/soft/datagram_frame.h"

namespace sio::internal::provider::soft {

class Attendant;
class SoftConnectionManager;

class Lookups {
 public:
  // Tells the manager what came of them.
  Lookups(SoftConnectionManager& manager, Attendant& attendant);

  int fd() const noexcept { return epoll_.get(); }  // readable when there are answers

  // For an endpoint. 0 or -errno.
  int begin(uint64_t serial, const sockaddr_storage& peer, const sockaddr_storage& from) noexcept;
  void end(uint64_t serial) noexcept;

  // For the control thread.
  void take_answers();
  // Asks again, and gives up what has taken too long. True: there are some left.
  bool tick();

 private:
  struct Lookup {
    OwnFd socket;
    sockaddr_storage peer{};
    uint32_t token = 0;  // comes back with the answer
    TimePoint again{};
    TimePoint limit{};
  };

  void ask(Lookup& one) noexcept;
  void take_answer(uint64_t serial);
  void failed(uint64_t serial, int error);

  SoftConnectionManager& manager_;
  Attendant& attendant_;
  OwnFd epoll_;
  std::mutex mutex_;  // guards what follows; that of the manager's events may be taken under it
  std::map<uint64_t, Lookup> lookups_;
};

}  // namespace sio::internal::provider::soft
