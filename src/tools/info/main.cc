// SPDX-License-Identifier: BSD-2-Clause
//
// sio_info: what the library would use here and why, and the settings that it goes by.
// Exit status: 0, 1 when there is nothing to use or no way to the address, 2 wrong usage.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "common/help.h"
#include "info/inventory.h"

namespace sio_info {
namespace {

struct Options {
  bool config = false;
  bool json = false;
  std::string address;
};

Inventory take_inventory(const std::string& address) {
  Inventory inventory;
  inventory.provider = choose_provider();
  const std::string& provider = inventory.provider.name;
  inventory.host = describe_host(provider);
  inventory.devices = describe_devices(provider);
  if (!address.empty() && !provider.empty()) {
    inventory.route = find_route(address, inventory.devices);
  }
  inventory.settings = sio::internal::describe_settings();
  return inventory;
}

int run(const Options& options) {
  if (options.config) {
    Inventory inventory;
    inventory.settings = sio::internal::describe_settings();
    print_settings(inventory);
    for (const std::string& variable : sio::internal::unknown_variables()) {
      std::fprintf(stderr, "sio_info: %s is no setting\n", variable.c_str());
    }
    return 0;
  }
  const Inventory inventory = take_inventory(options.address);
  options.json ? print_json(inventory) : print_text(inventory);
  const bool no_way = inventory.route && !inventory.route->error.empty();
  return inventory.provider.name.empty() || no_way ? 1 : 0;
}

int main(int argc, char** argv) {
  CLI::App app("What libsio would use on this machine, and why.");
  sio_tools::dress(app, "sio_info");
  Options options;
  app.add_option("address", options.address, "A peer's: what would be chosen for it?");
  CLI::Option* const json = app.add_flag("--json", options.json, "All of it as JSON");
  app.add_flag("--config", options.config, "Every setting, its value, and where that came from")
      ->excludes(json);
  if (const int status = sio_tools::parse(app, argc, argv); status >= 0) return status;
  try {
    return run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sio_info: %s\n", error.what());
    return 1;
  }
}

}  // namespace
}  // namespace sio_info

int main(int argc, char** argv) { return sio_info::main(argc, argv); }
