// SPDX-License-Identifier: BSD-2-Clause
#include "common/help.h"

#include <sio/base.h>

#include <filesystem>
#include <memory>

namespace sio_tools {
namespace {

constexpr size_t kColumns = 80;
constexpr size_t kLeft = 27;  // where the right column begins

// Text in lines that begin at a column, but for the first, which goes on where a line has come to.
std::string wrapped(const std::string& text, size_t at, size_t begin) {
  std::string out;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (at + 1 + word.size() > kColumns && at > begin) {
      out += '\n' + std::string(begin, ' ');
      at = begin;
    } else if (!out.empty()) {
      out += ' ';
      ++at;
    }
    out += word;
    at += word.size();
  }
  return out + '\n';
}

std::string row(const std::string& left, const std::string& right) {
  std::string out = "  " + left;
  const size_t begin = out.size() + 2 <= kLeft ? kLeft : out.size() + 2;
  out.resize(begin, ' ');
  return out + wrapped(right, begin, kLeft);
}

// CLI11's "UINT:INT in [1 - 65535]" without the checks, which the man page has.
std::string placeholder(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::string name = type.substr(0, type.find(':'));
  return name == "UINT" || name == "INT" || name == "FLOAT" ? "N" : name;
}

}  // namespace

std::string Help::make_description(const CLI::App* app) const {
  return wrapped(app->get_description(), 0, 0);
}

// The program's name without the folder that it was started from.
std::string Help::make_usage(const CLI::App* app, std::string name) const {
  const size_t command = name.find(' ');
  const std::string program = std::filesystem::path(name.substr(0, command)).filename();
  const std::string with = command == std::string::npos ? program : program + name.substr(command);
  return CLI::Formatter::make_usage(app, with);
}

std::string Help::make_option_opts(const CLI::Option* option) const {
  if (option->get_type_size() == 0) return "";
  const std::string standard = option->get_default_str();
  return ' ' + placeholder(*option) + (standard.empty() ? "" : '=' + standard);
}

std::string Help::make_option(const CLI::Option* option, bool is_positional) const {
  const std::string name = make_option_name(option, is_positional);
  return row(is_positional ? name : name + make_option_opts(option), option->get_description());
}

std::string Help::make_subcommand(const CLI::App* command) const {
  return row(command->get_name(), command->get_description());
}

void dress(CLI::App& app, const char* name) {
  app.formatter(std::make_shared<Help>());
  app.get_help_ptr()->description("Print this");
  app.set_version_flag("--version",
                       std::string(name) + " of libsio " + std::to_string(SIO_VERSION_MAJOR) + '.' +
                           std::to_string(SIO_VERSION_MINOR) + '.' +
                           std::to_string(SIO_VERSION_PATCH),
                       "Print the version");
}

// Of CLI11's statuses only that of --help is ours.
int parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
    return -1;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
}

}  // namespace sio_tools
