// SPDX-License-Identifier: BSD-2-Clause
//
// What a peer does: "NAME key=value ...". A behaviour says on stdout what it has come to and
// hears on stdin what it shall do next; "listening PORT ADDRESS" is said by all that listen.
#pragma once

#include <map>
#include <string>

#include "conformance/lines.h"
#include "conformance/support.h"

namespace sio::test {

class Options {
 public:
  explicit Options(const std::vector<std::string>& words);  // key=value

  bool has(const std::string& key) const { return values_.count(key) != 0; }
  std::string text(const std::string& key, const std::string& otherwise = "") const;
  int number(const std::string& key, int otherwise = 0) const;

 private:
  std::map<std::string, std::string> values_;
};

// Runs one; the exit status. An error is said ("error ...") and is status 1, complaints are 2.
int run_behaviour(const std::string& command);

using Behaviour = void (*)(const Options& options);
struct NamedBehaviour {
  const char* name;
  Behaviour run;
};
using Behaviours = std::vector<NamedBehaviour>;
const Behaviours& flow_behaviours();      // behaviours_flow.cc
const Behaviours& life_behaviours();      // behaviours_life.cc
const Behaviours& system_behaviours();    // behaviours_system.cc
const Behaviours& raw_behaviours();       // behaviours_raw.cc
const Behaviours& crowd_behaviours();     // behaviours_crowd.cc
const Behaviours& stream_behaviours();    // behaviours_stream.cc
const Behaviours& datagram_behaviours();  // behaviours_datagram.cc
const Behaviours& figures_behaviours();   // behaviours_figures.cc

[[gnu::format(printf, 1, 2)]] void say(const char* format, ...);

// How long a behaviour waits for somebody to do something.
inline constexpr milliseconds kPatience = std::chrono::minutes(2);

// The next line of stdin; "" at its end. Throws when patience ends.
std::string hear();

// One of this machine's addresses: address=, "ipv6" is the global IPv6 address.
Address own_address(const Options& options);
// Where to= and port= lead.
Address destination(const Options& options);
// A socket of type= (seqpacket, stream) with slots=, slot_size=, copy_max=, quota=, keepalive=,
// spin=, nodelay=, timeout= (ms), linger= (s).
Socket make_socket(const Options& options);

struct Surroundings {
  const Channel* channel = nullptr;
  uint32_t events = EC_DELIVER;
  const Area* send_area = nullptr;
};
// Bound and listening (backlog=); says so.
Socket make_listener(const Options& options, const Surroundings& around = {});
// Connects to its destination, or takes the one connection that comes.
Socket make_connection(const Options& options, const Surroundings& around = {});

}  // namespace sio::test
