// SPDX-License-Identifier: BSD-2-Clause
#include "options_common.h"

#include <fstream>

namespace sio_perf {
namespace {

constexpr int kMaxCpu = 1023;

// Before the measurement, not after it.
std::string can_be_written(const std::string& path) {
  return std::ofstream(path, std::ios::app) ? "" : path + " can not be written to";
}

}  // namespace

void add_common(CLI::App& app, Options& options) {
  app.add_option("-p,--port", options.port, "Port")
      ->check(CLI::Range(1, 65535))
      ->capture_default_str();
  app.add_option("--cpu", options.cpu, "Stay on this processor")->check(CLI::Range(0, kMaxCpu));
  app.add_flag("--quiet", options.quiet, "Print no set-up and no progress");
}

std::string with_prefix(const PeerName& of, const char* name) {
  return std::string(of.prefix) + name;
}

void add_provider(CLI::App& app, const PeerName& of, Options& options) {
  if (of.peer != Peer::kSio) return;
  app.add_option("--provider", options.provider, "auto, verbs or soft, whatever the settings say")
      ->check(CLI::IsMember({"auto", "verbs", "soft"}));
}

void add_json(CLI::App& app, Options& options) {
  app.add_option("--json", options.json, "Write the figures there, too")
      ->type_name("FILE")
      ->check(can_be_written, "", "");
}

}  // namespace sio_perf
