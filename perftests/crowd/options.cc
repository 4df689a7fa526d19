// SPDX-License-Identifier: BSD-2-Clause
#include <string>

#include "options_common.h"

namespace sio_perf {
namespace {

constexpr uint32_t kSize = 64;
constexpr uint32_t kDepth = 32;
constexpr double kSeconds = 2;
constexpr uint32_t kOwnSlots = 64;
// Of shared ones: what libsio's connections have to begin with, and a bit to lease; on bare verbs
// as many as may be in flight.
constexpr uint32_t kSharedSlots = 8;
constexpr uint32_t kSlotMultiple = 64;
constexpr uint32_t kLeastSlot = 256, kMostSlot = 65536;  // bytes

struct Command {
  CrowdTest test;
  const char* name;
  const char* help;
};
constexpr Command kCommands[] = {
    {CrowdTest::kConnections, "conns",
     "Many connections in one channel: set-up, memory, idleness, message rate"},
    {CrowdTest::kThreads, "threads", "Message rate of channels that have a thread each"},
    {CrowdTest::kFair, "fair",
     "Latency of connections with one message on its way, alone and beside one greedy sender"},
};

std::string is_slot_size(const std::string& text) {
  return std::stoul(text) % kSlotMultiple == 0 ? "" : "not a multiple of 64: " + text;
}

// Throws CLI::ValidationError.
void complete(const Command& command, const PeerName& of, Options& options) {
  CrowdOptions& crowd = options.crowd;
  options.of = &of;
  options.op = Op::kCrowd;
  crowd.test = command.test;
  if (options.sizes.front() > crowd.slot_size) {
    throw CLI::ValidationError("--size", "a message does not fit into a slot (--slot-size)");
  }
  const bool raw = of.peer == Peer::kRaw;
  if (crowd.recv_slots == 0) {
    crowd.recv_slots = !crowd.shared ? kOwnSlots : raw ? options.tx_depth : kSharedSlots;
  }
  // Receives are posted again by halves; and a receiver that is not ready is not measured.
  const uint32_t least = crowd.shared ? options.tx_depth : 2 * options.tx_depth;
  if (raw && crowd.recv_slots < least) {
    throw CLI::ValidationError("--recv-slots", "bare verbs want " + std::to_string(least) +
                                                   " for so many messages in flight");
  }
}

void add_receives(CLI::App& app, CrowdOptions& crowd) {
  app.add_flag("--shared", crowd.shared,
               "Connections share their receives (DMA_SHARED; raw: a shared receive queue)");
  app.add_option("-r,--recv-slots", crowd.recv_slots,
                 "Receive slots for each connection (default: 64; with --shared 8, raw --tx-depth)")
      ->check(CLI::Range(uint32_t{2}, kMaxDepth));
  app.add_option("--slot-size", crowd.slot_size, "Bytes of a receive slot, a multiple of 64")
      ->check(CLI::Range(kLeastSlot, kMostSlot))
      ->check(is_slot_size, "", "")
      ->capture_default_str();
}

void add_of_one(CLI::App& app, const Command& command, Options& options) {
  CrowdOptions& crowd = options.crowd;
  if (command.test == CrowdTest::kThreads) {
    app.add_option("-T,--threads", crowd.channels, "Threads, with a channel and a connection each")
        ->check(CLI::Range(uint32_t{1}, kMaxChannels))
        ->capture_default_str();
    return;
  }
  const uint32_t least = command.test == CrowdTest::kFair ? 2 : 1;
  app.add_option(
         "-c,--connections", crowd.connections,
         command.test == CrowdTest::kFair ? "Connections, of which one is greedy" : "Connections")
      ->check(CLI::Range(least, kMaxConnections))
      ->capture_default_str();
  app.add_option("--at-once", crowd.at_once, "Connects that are under way at once")
      ->check(CLI::Range(uint32_t{1}, kMaxConnections))
      ->capture_default_str();
  if (command.test != CrowdTest::kConnections) return;
  app.add_option("--idle", crowd.idle, "Seconds of idleness to measure; 0: none")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
}

void add_client(CLI::App& parent, const Command& command, const PeerName& of, Options& options) {
  const bool ours = of.peer == Peer::kSio;
  CLI::App* const app =
      parent.add_subcommand(with_prefix(of, command.name),
                            command.help + (ours ? std::string() : std::string("; ") + of.title));
  add_common(*app, options);
  add_provider(*app, of, options);
  app->add_option("host", options.host, "Name or address of the server")->required();
  app->preparse_callback([&command, &options](size_t) {
    options.sizes = {kSize};
    options.tx_depth = kDepth;
    options.seconds = kSeconds;
    options.crowd.connections = command.test == CrowdTest::kThreads ? 1 : 100;
    options.crowd.channels = 1;
  });
  app->add_option_function<uint32_t>(
         "-s,--size", [&options](uint32_t size) { options.sizes = {size}; },
         "Bytes of a message (default: 64)")
      ->check(CLI::Range(uint32_t{1}, kMaxSize));
  app->add_option("-t,--tx-depth", options.tx_depth,
                  "Messages in flight on each connection (default: 32)")
      ->check(CLI::Range(uint32_t{1}, kMaxDepth));
  if (command.test != CrowdTest::kFair) {
    app->add_flag("-e,--events", options.event, "Sleep for events at both ends, do not poll");
  }
  const bool may_be_none = command.test == CrowdTest::kConnections;
  app->add_option("-D,--duration", options.seconds,
                  may_be_none ? "Seconds of messages (default: 2); 0: none"
                              : "Seconds of each measurement (default: 2)")
      ->check(CLI::Range(may_be_none ? 0.0 : 0.01, 1e6));
  if (command.test != CrowdTest::kFair) {
    CLI::Option* const turns =
        app->add_option("--turn", options.crowd.turns,
                        may_be_none ? "Messages of a connection before the next one has its turn "
                                      "(default: 1); with commas, one measurement for each"
                                    : "Messages between looks at what has come (default: 1)")
            ->check(CLI::Range(uint32_t{1}, kMaxDepth));
    may_be_none ? turns->delimiter(',') : turns->expected(1);
  }
  add_of_one(*app, command, options);
  if (may_be_none && !ours) {
    app->add_flag(
        "--like-sockets", options.crowd.like_sockets,
        "With an epoll set for each connection and a thread for their events, as a socket "
        "of libsio's has to have them");
  }
  add_receives(*app, options.crowd);
  add_json(*app, options);
  app->final_callback([&command, &of, &options] { complete(command, of, options); });
}

}  // namespace

const char* name_of(CrowdTest test) { return kCommands[static_cast<size_t>(test)].name; }

Parameters Options::crowd_parameters() const {
  Parameters all = parameters(sizes.front());
  all.connections = crowd.connections;
  all.channels = crowd.channels;
  all.recv_slots = crowd.recv_slots;
  all.slot_size = crowd.slot_size;
  all.shared = crowd.shared;
  all.like_sockets = crowd.like_sockets;
  return all;
}

bool has_crowds(const PeerName& of) { return of.peer == Peer::kSio || of.peer == Peer::kRaw; }

void add_crowd_clients(CLI::App& parent, const PeerName& of, Options& options) {
  for (const Command& command : kCommands) add_client(parent, command, of, options);
}

}  // namespace sio_perf
