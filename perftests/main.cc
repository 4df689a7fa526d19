// SPDX-License-Identifier: BSD-2-Clause
//
// Exit status: 0 measured (or a server ended by a signal), 1 failed or interrupted, 2 wrong usage.
#include <cstdio>
#include <cstdlib>

#include "options.h"
#include "pace.h"
#include "peer.h"
#include "process.h"
#include "report.h"

namespace sio_perf {
namespace {

struct Ends {
  std::unique_ptr<Client> (*connect)(const Options& options, uint32_t size);
  void (*serve)(const Options& options);
};

Ends ends_of(Peer peer) {
  switch (peer) {
    case Peer::kRaw:
      return {connect_raw, serve_raw};
    case Peer::kTcp:
      return {connect_tcp, serve_tcp};
#ifdef SIO_PERF_ZMQ
    case Peer::kZmq:
      return {connect_zmq, serve_zmq};
#endif
    default:
      return {connect_sio, serve_sio};
  }
}

void measure(const Options& options, Report& report) {
  for (const uint32_t size : options.sizes) {
    const auto client = ends_of(options.of->peer).connect(options, size);
    if (size == options.sizes.front()) report.set_up(client->set_up());
    report.add(size, client->run());
  }
}

int run_client(const Options& options) {
  Report report(options);
  int status = 0;
  try {
    measure(options, report);
  } catch (const Interrupted&) {
    clear_progress();
    std::fprintf(stderr, "sio_perf: interrupted\n");
    status = 1;
  }
  report.write_json();
  return status;
}

int run_crowd(const Options& options) {
  try {
    options.of->peer == Peer::kRaw ? run_raw_crowd(options) : run_sio_crowd(options);
    return 0;
  } catch (const Interrupted&) {
    std::fprintf(stderr, "sio_perf: interrupted\n");
    return 1;
  }
}

int run_server(const Options& options) {
  try {
    ends_of(options.of->peer).serve(options);
  } catch (const Interrupted&) {
    // That is how a server ends.
  }
  return 0;
}

int run(int argc, char** argv) {
  const Parsed parsed = parse_options(argc, argv);
  if (!parsed.options) return parsed.status;
  try {
    catch_signals();
    // The library reads its settings when it is first used.
    if (!parsed.options->provider.empty()) {
      ::setenv("SIO_PROVIDER", parsed.options->provider.c_str(), 1);
    }
    if (parsed.options->cpu >= 0) pin_to(parsed.options->cpu);
    if (parsed.options->op == Op::kCrowd) return run_crowd(*parsed.options);
    return parsed.options->server ? run_server(*parsed.options) : run_client(*parsed.options);
  } catch (const std::exception& error) {
    clear_progress();
    std::fprintf(stderr, "sio_perf: %s\n", error.what());
    return 1;
  }
}

}  // namespace
}  // namespace sio_perf

int main(int argc, char** argv) { return sio_perf::run(argc, argv); }
