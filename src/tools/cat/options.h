// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <optional>
#include <string>

namespace sio_cat {

struct Options {
  bool listen = false;
  bool keep = false;      // listening: peer after peer
  bool no_input = false;  // nothing is sent
  bool checksum = false;
  bool progress = false;  // even where stderr is no terminal
  bool quiet = false;     // no progress, even where it is one
  bool verbose = false;
  std::string host;  // "": any address (listening)
  std::string port;
};

struct Parsed {
  std::optional<Options> options;
  int status;  // if there are none
};

Parsed parse_options(int argc, char** argv);

}  // namespace sio_cat
