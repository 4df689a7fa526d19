// SPDX-License-Identifier: BSD-2-Clause
#include "cat/options.h"

#include <CLI/CLI.hpp>

#include "common/help.h"

namespace sio_cat {
namespace {

// "host:port", "[v6]:port", "port". False: none of these.
bool split(const std::string& text, Options& options) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) {
    options.port = text;
    return true;
  }
  std::string host = text.substr(0, colon);
  options.port = text.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    options.host = host.substr(1, host.size() - 2);
    return true;
  }
  options.host = host;
  return host.find(':') == std::string::npos;
}

bool is_port(const std::string& text, bool listen) {
  if (text.empty() || text.size() > 5 || text.find_first_not_of("0123456789") != std::string::npos)
    return false;
  const int port = std::stoi(text);
  return port <= 65535 && (listen || port > 0);
}

// Throws CLI::ValidationError.
void complete(const std::string& where, Options& options) {
  if (!options.port.empty()) {
    options.host = where;
  } else if (!split(where, options) || (!options.listen && options.host.empty())) {
    throw CLI::ValidationError("where", "not HOST:PORT, nor [ADDRESS]:PORT: " + where);
  }
  if (!is_port(options.port, options.listen)) {
    throw CLI::ValidationError("port", "not a port: " + options.port);
  }
}

}  // namespace

Parsed parse_options(int argc, char** argv) {
  CLI::App app("Sends its input to a peer and writes what comes from there, over libsio.");
  sio_tools::dress(app, "sio_cat");
  Options options;
  std::string where;
  app.add_option("where", where, "HOST, HOST:PORT or [ADDRESS]:PORT; with -l also PORT")
      ->required();
  app.add_option("port", options.port, "If it is not said there");
  CLI::Option* const listen =
      app.add_flag("-l,--listen", options.listen, "Wait for a peer to connect");
  app.add_flag("-k,--keep-listening", options.keep, "With -l: peer after peer")->needs(listen);
  app.add_flag("-n,--no-input", options.no_input, "Send nothing, do not look at the input");
  app.add_flag("-c,--checksum", options.checksum, "Check that all came (at both ends)");
  CLI::Option* const quiet =
      app.add_flag("-q,--quiet", options.quiet, "Show no progress on a terminal");
  app.add_flag("--progress", options.progress, "Show progress, terminal or not")->excludes(quiet);
  app.add_flag("-v,--verbose", options.verbose, "Say where it listens and what it is connected to");
  app.footer(
      "  sio_cat -l 7000 > file         at one end\n"
      "  sio_cat HOST 7000 < file       at the other");
  app.final_callback([&] { complete(where, options); });
  const int status = sio_tools::parse(app, argc, argv);
  return status >= 0 ? Parsed{std::nullopt, status} : Parsed{options, 0};
}

}  // namespace sio_cat
