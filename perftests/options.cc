// SPDX-License-Identifier: BSD-2-Clause
#include "options.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "common/help.h"
#include "options_common.h"

namespace sio_perf {
namespace {

constexpr uint32_t kMaxSizeOfAll = 8192;
constexpr uint64_t kMaxWarmup = 1000;
constexpr uint64_t kMaxMessages = uint64_t{1} << 40;
constexpr uint32_t kMostInterval = 1'000'000;

struct Command {
  const char* name;
  Op op;
  uint32_t size;
  uint64_t iterations;
  const char* help;
};
constexpr Command kCommands[] = {
    {"lat", Op::kLatency, 64, 10'000, "Latency: ping-pong, half a round trip"},
    {"bw", Op::kBandwidth, 8192, 10'000, "Bandwidth: messages one way, MiB/s"},
    {"rate", Op::kRate, 64, 100'000, "Message rate: small messages one way, messages/s"},
};

// What the command line says of a client's run; the rest follows when all is parsed.
struct Given {
  Options options;
  uint32_t size = 0;
  bool all = false;
};

void add_server(CLI::App& parent, const PeerName& of, Given& given) {
  CLI::App* const app =
      parent.add_subcommand(with_prefix(of, "server"), "Serve " + with_prefix(of, "lat") +
                                                           " and the others, client after client");
  add_common(*app, given.options);
  add_provider(*app, of, given.options);
  app->add_option("--bind", given.options.bind, "Local address")->capture_default_str();
  app->add_flag("-1,--once", given.options.once, "End after one client");
  app->final_callback([&of, &given] {
    given.options.server = true;
    given.options.of = &of;
  });
}

void complete(const Command& command, const PeerName& of, bool warmup_given, Given& given) {
  Options& options = given.options;
  options.of = &of;
  options.op = command.op;
  if (given.all) {
    for (uint32_t size = 1; size <= kMaxSizeOfAll; size *= 2) options.sizes.push_back(size);
  } else {
    options.sizes = {given.size != 0 ? given.size : command.size};
  }
  if (options.iterations == 0 && options.seconds == 0) options.iterations = command.iterations;
  if (warmup_given) return;
  options.warmup =
      options.iterations == 0 ? kMaxWarmup : std::min(options.iterations / 10, kMaxWarmup);
}

void add_extent(CLI::App& app, Given& given) {
  CLI::Option* const size = app.add_option("-s,--size", given.size, "Bytes of a message")
                                ->check(CLI::Range(uint32_t{1}, kMaxSize));
  app.add_flag("-a,--all", given.all, "All sizes from 1 to 8192 bytes, powers of two")
      ->excludes(size);
  CLI::Option* const iterations =
      app.add_option("-n,--iterations", given.options.iterations, "Messages")
          ->check(CLI::Range(uint64_t{1}, kMaxMessages));
  app.add_option("-D,--duration", given.options.seconds, "Seconds, instead of -n")
      ->check(CLI::Range(0.01, 1e6))
      ->excludes(iterations);
}

void add_client(CLI::App& parent, const Command& command, const PeerName& of, Given& given) {
  const bool ours = of.peer == Peer::kSio;
  CLI::App* const app =
      parent.add_subcommand(with_prefix(of, command.name),
                            command.help + (ours ? std::string() : std::string("; ") + of.title));
  Options& options = given.options;
  add_common(*app, options);
  add_provider(*app, of, options);
  app->add_option("host", options.host, "Name or address of the server")->required();
  add_extent(*app, given);
  CLI::Option* const events =
      app->add_flag("-e,--events", options.event, "Sleep for events at both ends, do not poll");
  CLI::Option* const warmup =
      app->add_option("--warmup", options.warmup,
                      "Messages first that do not count (default: a tenth, at most 1000)")
          ->check(CLI::Range(uint64_t{0}, kMaxMessages));
  if (command.op == Op::kLatency) {
    app->add_option("--interval", options.interval_us,
                    "Microseconds between a reply and the next message")
        ->check(CLI::Range(uint32_t{0}, kMostInterval));
  }
  if (ours) {
    app->add_flag("--no-delay", options.no_delay, "SIO_NODELAY at both ends: no trains");
  }
  if (of.peer == Peer::kRaw) {
    app->add_flag("--block", options.block, "Sleep in ibv_get_cq_event, not in epoll_wait")
        ->needs(events);
    app->add_option("--slot-size", options.slot_size,
                    "Bytes of a receive (default: of a message), which is not smaller than that")
        ->check(CLI::Range(uint32_t{1}, kMaxSize));
  }
  if (command.op != Op::kLatency) {
    app->add_option("-t,--tx-depth", options.tx_depth, "Messages in flight")
        ->check(CLI::Range(uint32_t{1}, kMaxDepth))
        ->capture_default_str();
  }
  if (of.peer == Peer::kRaw && command.op != Op::kLatency) {
    app->add_option("-l,--post-list", options.post_list, "Work requests per ibv_post_send")
        ->check(CLI::Range(uint32_t{1}, kMaxDepth))
        ->capture_default_str();
  }
  add_json(*app, options);
  app->final_callback(
      [&command, &of, &given, warmup] { complete(command, of, warmup->count() > 0, given); });
}

}  // namespace

Parsed parse_options(int argc, char** argv) {
  CLI::App app(
      "Measures libsio, and beside it bare verbs (raw-...), TCP (tcp-...) and ZeroMQ (zmq-..., if "
      "it was there when this was built), between two processes.\n"
      "Start `sio_perf server` at one end and `sio_perf lat HOST` at the other.");
  Given given;
  app.require_subcommand(1);
  sio_tools::dress(app, "sio_perf");  // before there are commands, which take it from here
  for (const PeerName& of : kPeers) {
    add_server(app, of, given);
    for (const Command& command : kCommands) add_client(app, command, of, given);
    if (has_crowds(of)) add_crowd_clients(app, of, given.options);
  }
  const int status = sio_tools::parse(app, argc, argv);
  if (status >= 0) return {std::nullopt, status};
  return {given.options, 0};
}

}  // namespace sio_perf
