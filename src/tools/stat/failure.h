// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstring>
#include <stdexcept>
#include <string>

namespace sio_stat {

// What ends the program, as it is told.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  Failure(const std::string& what, int error) : runtime_error(what + ": " + std::strerror(error)) {}
};

}  // namespace sio_stat
