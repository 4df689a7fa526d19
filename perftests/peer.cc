// SPDX-License-Identifier: BSD-2-Clause
#include "peer.h"

#include <netdb.h>

#include <cstdio>
#include <cstring>

#include "process.h"

namespace sio_perf {

Address resolve(const std::string& host, uint16_t port, bool passive) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = passive ? AI_PASSIVE : 0;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) {
    throw Failure(host + ": " + ::gai_strerror(error) +
                  "; give an IP address of an RDMA device (`rdma link`, `ip addr`)");
  }
  // Of IPv4 if there is one, as what a server listens at that is given nothing else.
  const addrinfo* one = found;
  while (one != nullptr && one->ai_family != AF_INET) one = one->ai_next;
  if (one == nullptr) one = found;
  Address address;
  address.length = one->ai_addrlen;
  std::memcpy(&address.storage, one->ai_addr, one->ai_addrlen);
  ::freeaddrinfo(found);
  return address;
}

void print_served(const Options& options, const Parameters& parameters) {
  if (options.quiet) return;
  std::printf("%s, %u bytes\n", name_of(parameters).c_str(), parameters.size);
  std::fflush(stdout);
}

void print_lost(const std::string& why) {
  std::fprintf(stderr, "sio_perf: client lost: %s\n", why.c_str());
}

}  // namespace sio_perf
