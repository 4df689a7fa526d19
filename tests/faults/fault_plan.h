// SPDX-License-Identifier: BSD-2-Clause
//
// What goes wrong, and how often, as a seed says; or, in tests of one fault, what is next.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <random>
#include <string>

#include "base/fd.h"
#include "provider/provider.h"

namespace sio::test {

// What may go wrong, and how often: in 1 of so many times; 0: never.
struct Faults {
  uint32_t register_memory = 0;  // throws ENOMEM
  uint32_t create = 0;           // a completion channel or queue, a queue pair: throws ENOMEM
  uint32_t resize = 0;           // a completion queue is not made larger: ENOMEM
  uint32_t connect = 0;          // resolve, connect, accept, bind, listen: EIO
  uint32_t post_send = 0;        // ENOMEM
  uint32_t post_receive = 0;     // ENOMEM
  uint32_t status = 0;           // a completion gets one of the statuses of failure
  uint32_t late = 0;             // those of a queue pair are withheld for some polls
  uint32_t drop = 0;             // at a post: the connection is cut
  // Of datagrams. An answer says who is at an address, or that a group is joined.
  uint32_t attach = 0;       // to a group: ENOMEM
  uint32_t not_found = 0;    // an answer is EHOSTUNREACH
  uint32_t no_answer = 0;    // never comes
  uint32_t late_answer = 0;  // comes after some others
};

// What happens at the next occasion, once. 0: nothing.
class Once {
 public:
  void set(int fault) { fault_ = fault; }
  int take() { return fault_.exchange(0); }

 private:
  std::atomic<int> fault_{0};
};

class FaultPlan {
 public:
  using Kind = internal::provider::ConnectionEvent::Kind;

  FaultPlan();

  // From here on faults are those, by that seed.
  void begin(uint64_t seed, const Faults& faults);
  void end() { begin(0, {}); }

  bool strikes(uint32_t Faults::*fault);
  uint32_t below(uint32_t n);
  uint64_t struck() const { return struck_; }

  Once next_send, next_receive;  // the status of the completion
  Once next_connect;             // kFailed with this errno follows
  Once next_address;             // bind, resolve and join: this errno
  Once next_join;                // any: is never heard of again
  Once next_second_pair;         // throws this errno
  Once next_post;                // of a SEND: this errno

  // The endpoint that connected, or began to listen, last. It is told of an event:
  void tell(Kind kind, int error);
  // What is posted there is taken and never acknowledged: it is flushed at the end.
  void lose_sends(bool lose) { losing_ = lose; }

  // Each connect ends so, as with next_connect. 0: as it would.
  std::atomic<int> all_connects{0};

  // Work requests for which a completion was asked, since the beginning.
  std::atomic<uint64_t> signalled{0};

  // Objects that are alive.
  std::atomic<int> regions{0}, channels{0}, queues{0}, pairs{0}, endpoints{0}, shared{0},
      attached{0};
  std::string left() const;  // "" if there are none

  // The provider's.
  void connects(uint64_t endpoint) { connecting_ = endpoint; }
  bool loses(uint64_t endpoint) const { return losing_ && connecting_ == endpoint; }
  int fd() const { return wake_.get(); }  // readable when an event is told, or after wake()
  void wake() const;
  bool take_event(internal::provider::ConnectionEvent& event);

 private:
  std::mutex mutex_;
  std::mt19937_64 random_;
  Faults faults_;
  std::atomic<uint64_t> struck_{0};

  std::atomic<uint64_t> connecting_{0};
  std::atomic<bool> losing_{false};
  const internal::OwnFd wake_;
  std::deque<internal::provider::ConnectionEvent> told_;  // under the mutex
};

FaultPlan& plan();

}  // namespace sio::test
