// SPDX-License-Identifier: BSD-2-Clause
//
// sio_info: what the library would use here, and the settings that it goes by.
// Exit status: 0, 1 when there is nothing to use, 2 wrong usage.
#include <sio/base.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>

#include "config/settings.h"
#include "provider/provider.h"

namespace {

using namespace sio::internal;

void print_settings() {
  size_t name = 0;
  size_t value = 0;
  const auto settings = describe_settings();
  for (const SettingOrigin& one : settings) {
    name = std::max(name, one.name.size());
    value = std::max(value, one.value.size());
  }
  for (const SettingOrigin& one : settings) {
    std::printf("%-*s  %-*s  %s\n", static_cast<int>(name), one.name.c_str(),
                static_cast<int>(value), one.value.c_str(), one.origin.c_str());
  }
}

void print_provider() {
  provider::Provider& provider = provider::instance();
  std::printf("provider %s\n", provider.name());
  for (const provider::Device* device : provider.devices()) {
    const provider::DeviceLimits& limits = device->limits();
    std::printf(
        "device %s: up to %u work requests per queue pair, %u entries per gather list, %u "
        "completions per queue\n",
        device->name().c_str(), limits.max_qp_wr, limits.max_sge, limits.max_cq_entries);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What libsio would use on this machine.");
  bool config = false;
  app.add_flag("--config", config, "Every setting, its value, and where that came from");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    config ? print_settings() : print_provider();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sio_info: %s\n", error.what());
    return 1;
  }
}
