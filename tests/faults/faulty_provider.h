// SPDX-License-Identifier: BSD-2-Clause
//
// A provider that stands before another one and makes things go wrong, as a seed says: posts,
// registrations and connections fail, completions come late (but in order within a queue pair) or
// with another status, connections drop. It breaks none of the rules of verbs: once a queue pair
// has had a completion that failed it is in the error state, and the rest is flushed.
//
// Tests of one fault say which is next.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
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
  uint32_t connect = 0;          // resolve, connect, accept, bind, listen: EIO
  uint32_t post_send = 0;        // ENOMEM
  uint32_t post_receive = 0;     // ENOMEM
  uint32_t status = 0;           // a completion gets one of the statuses of failure
  uint32_t late = 0;             // those of a queue pair are withheld for some polls
  uint32_t drop = 0;             // at a post: the connection is cut
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

  // Objects that are alive.
  std::atomic<int> regions{0}, channels{0}, queues{0}, pairs{0}, endpoints{0};
  std::string left() const;  // "" if there are none

  // The provider's.
  void connects(uint64_t endpoint) { connecting_ = endpoint; }
  bool loses(uint64_t endpoint) const { return losing_ && connecting_ == endpoint; }
  int fd() const { return wake_.get(); }  // readable when an event is told
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

// Before another one: for internal::provider::set_factory.
std::unique_ptr<internal::provider::Provider> create_faulty_soft_provider();

}  // namespace sio::test
