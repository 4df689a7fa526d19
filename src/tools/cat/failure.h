// SPDX-License-Identifier: BSD-2-Clause
//
// How the program ends.
#pragma once

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

namespace sio_cat {

enum ExitStatus { kDone = 0, kFailed = 1, kWrongUsage = 2, kDiffers = 3 };

// Something the user is told; the transfer is over.
class Failure : public std::runtime_error {
 public:
  explicit Failure(const std::string& what) : std::runtime_error(what) {}
  Failure(const std::string& what, int error)
      : std::runtime_error(what + ": " + std::strerror(error)) {}
};

// The connection has failed.
class Lost : public Failure {
 public:
  using Failure::Failure;
};

}  // namespace sio_cat
