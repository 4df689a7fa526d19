// SPDX-License-Identifier: BSD-2-Clause
//
// What the tools' --help looks like: lines of at most 80 columns, and one line for an option unless
// its text is long.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace sio_tools {

class Help final : public CLI::Formatter {
 public:
  std::string make_description(const CLI::App* app) const override;
  std::string make_usage(const CLI::App* app, std::string name) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_option(const CLI::Option* option, bool is_positional) const override;
  std::string make_subcommand(const CLI::App* command) const override;
};

// Such a --help, and --version. Subcommands that are added later have it too.
void dress(CLI::App& app, const char* name);

// Parses; -1, or the status to end with when that was all (0: help was asked for; 2: wrong usage,
// which was told).
int parse(CLI::App& app, int argc, char** argv);

}  // namespace sio_tools
