// SPDX-License-Identifier: BSD-2-Clause
//
// The server's end of crowds: a thread and a channel each.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <deque>
#include <thread>
#include <vector>

#include "crowd/crowd.h"
#include "crowd/dialogue.h"
#include "peer.h"
#include "process.h"

namespace sio_perf {

template <typename Crowd>
class CrowdService {
 public:
  // `more`: what a Crowd is made of beside parameters.
  template <typename... More>
  CrowdService(const Parameters& parameters, const Address& address, More... more)
      : parameters_(parameters),
        crowd_(parameters, more...),
        ports_(crowd_.listen(address)),
        members_(parameters.connections),
        echo_(parameters.size, kEcho) {
    // Signals are for the thread that answers the client.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  CrowdService(const CrowdService&) = delete;
  CrowdService& operator=(const CrowdService&) = delete;
  ~CrowdService() {
    stop_ = true;
    crowd_.wake();
    thread_.join();
  }

  const std::vector<uint16_t>& ports() const { return ports_; }

 private:
  // After a message it polls for a while, unless it is to sleep. What else happens, connections,
  // wants the processor for other threads.
  static constexpr uint64_t kSpinNs = 10'000'000;
  static constexpr unsigned kLookEvery = 16;  // polls between looks at the clock

  struct Member {
    uint64_t counted = 0;
    uint64_t owed = 0;  // answers
    bool confirms = false;
  };

  void run() {
    try {
      serve();
    } catch (const std::exception& error) {
      // Not before: a client that has gone fails all of its connections.
      if (!stop_) print_lost(error.what());
    }
  }

  void serve() {
    uint64_t empty_polls = 0, awake_until = 0;
    while (!stop_) {
      came_ = false;
      const bool some = crowd_.take([this](const Arrived& message) { arrived(message); },
                                    [this](uint32_t member) { answer(member); });
      if (came_ && !parameters_.event) awake_until = now_ns() + kSpinNs;
      if (some) empty_polls = 0;
      if (some || ++empty_polls % kLookEvery != 0 || now_ns() < awake_until) continue;
      crowd_.sleep(-1);
    }
  }

  void arrived(const Arrived& message) {
    came_ = true;
    Member& member = members_.at(message.member);
    if (message.head[0] == kEcho) {
      ++member.owed;
    } else {
      member.confirms = true;
      if (++member.counted % confirmed_at_once(parameters_) != 0) return;
      member.owed = 1;  // a later confirmation says what an earlier one does
    }
    answer(message.member);
  }

  void answer(uint32_t number) {
    Member& member = members_.at(number);
    if (member.owed == 0) return;
    if (!member.confirms) {
      member.owed -= crowd_.send(number, echo_.data(), static_cast<uint32_t>(echo_.size()),
                                 static_cast<uint32_t>(member.owed));
      return;
    }
    std::array<unsigned char, kConfirmBytes> confirmation;
    const uint64_t at_once = confirmed_at_once(parameters_);
    put_number(confirmation.data(), kConfirmBytes, member.counted / at_once * at_once);
    member.owed -= crowd_.send(number, confirmation.data(), kConfirmBytes, 1);
  }

  const Parameters parameters_;
  Crowd crowd_;
  std::vector<uint16_t> ports_;
  std::vector<Member> members_;
  std::vector<unsigned char> echo_;
  bool came_ = false;  // a message
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// Until the client goes.
template <typename Crowd, typename... More>
void serve_crowds(const Options& options, const Parameters& parameters, Dialogue& dialogue,
                  More... more) {
  raise_descriptor_limit();
  std::deque<CrowdService<Crowd>> services;
  std::vector<uint16_t> ports;
  for (uint32_t i = 0; i < parameters.channels; ++i) {
    services.emplace_back(parameters, resolve(options.bind, 0, true), more...);
    ports.insert(ports.end(), services.back().ports().begin(), services.back().ports().end());
  }
  dialogue.answer(ports);
}

}  // namespace sio_perf
