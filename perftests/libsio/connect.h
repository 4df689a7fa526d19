// SPDX-License-Identifier: BSD-2-Clause
//
// Set-up of the library's sockets: what all measurements have in common.
#pragma once

#include "libsio/endpoint.h"

namespace sio_perf {

// Throw Failure.
int new_sio_socket(const Address& address);
int new_sio_channel();

// With a remedy for the errno of sio_connect.
[[noreturn]] void fail_connect(const std::string& host);

// A client's connection, on which the server knows what it is to do.
class SioConnection {
 public:
  SioConnection(const Options& options, const Parameters& parameters, const SioMemory& memory);

  SioEndpoint& end() { return end_; }
  SetUp set_up() const;

 private:
  void check_size(uint32_t size) const;
  void introduce(const Parameters& parameters);

  SioChannel channel_;
  SioSocket socket_;
  SioEndpoint end_;
};

}  // namespace sio_perf
