// SPDX-License-Identifier: BSD-2-Clause
//
// The other end of a test's connections: a behaviour (behaviours.h) in a process of its own, on
// the other machine if there are two. An agent on that machine (agent.h) starts it.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "conformance/lines.h"
#include "conformance/support.h"

namespace sio::test {

class Peer {
 public:
  // "BEHAVIOUR key=value ..."; environment: "NAME=VALUE" of the new process.
  explicit Peer(const std::string& command, const std::vector<std::string>& environment = {});
  Peer(Peer&&) = default;
  ~Peer();  // killed, if it has not ended

  // Where it listens: waits for "listening PORT ADDRESS".
  const Address& address();

  // Its next line; throws when there is none in that time.
  std::string line(milliseconds limit = kSoon);
  // Its next line begins with these words: the rest of it.
  std::string expect(const std::string& words, milliseconds limit = kSoon);
  uint64_t expect_number(const std::string& words, milliseconds limit = kSoon);

  void say(const std::string& line);
  void close_input();
  void signal(int signo);
  void stop();  // SIGSTOP, and all its threads stand still on return
  void kill();  // SIGKILL, and it is dead on return

  // Its exit status, or minus the signal that ended it. Lines that it said before are passed over.
  int wait(milliseconds limit = kSoon);
  // It ends by itself, content; else throws.
  void finish(milliseconds limit = kSoon);

 private:
  std::optional<std::string> next(milliseconds limit);
  std::optional<std::string> next_of_agent(milliseconds limit);

  std::string command_;
  Fd agent_;
  LineReader lines_;
  std::deque<std::string> early_;  // lines that came while another was waited for
  std::optional<Address> address_;
  std::optional<int> status_;
};

// For a behaviour that goes there: " to=ADDRESS port=PORT".
std::string to(const Address& there);
std::string to(const Socket& there);

// The agent of this machine, if there is but one: a child that dies with the thread that starts it.
void start_local_agent();
void end_local_agent();

}  // namespace sio::test
