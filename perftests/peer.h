// SPDX-License-Identifier: BSD-2-Clause
//
// What main knows of the things measured.
#pragma once

#include <sys/socket.h>

#include <memory>
#include <string>

#include "options.h"
#include "report.h"
#include "statistics.h"

namespace sio_perf {

// A connection to a server that measures one size.
class Client {
 public:
  Client() = default;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  virtual ~Client() = default;

  virtual SetUp set_up() const = 0;
  virtual Measured run() = 0;
};

std::unique_ptr<Client> connect_sio(const Options& options, uint32_t size);
std::unique_ptr<Client> connect_raw(const Options& options, uint32_t size);
std::unique_ptr<Client> connect_tcp(const Options& options, uint32_t size);
std::unique_ptr<Client> connect_zmq(const Options& options, uint32_t size);

// Of many connections; print and write what was measured.
void run_sio_crowd(const Options& options);
void run_raw_crowd(const Options& options);

// Serve until a signal, or one client.
void serve_sio(const Options& options);
void serve_raw(const Options& options);
void serve_tcp(const Options& options);
void serve_zmq(const Options& options);

// An IP address and port.
struct Address {
  sockaddr_storage storage = {};
  socklen_t length = 0;

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
Address resolve(const std::string& host, uint16_t port, bool passive);

// A server's lines about one client.
void print_served(const Options& options, const Parameters& parameters);
void print_lost(const std::string& why);

}  // namespace sio_perf
