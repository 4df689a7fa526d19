// SPDX-License-Identifier: BSD-2-Clause
#include "cat/connect.h"

#include <netdb.h>

#include <cstdio>
#include <memory>

#include "cat/failure.h"

namespace sio_cat {
namespace {

// One peer is served at a time; so many may wait meanwhile.
constexpr int kBacklog = 16;

using AddressList = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;

AddressList resolve(const Options& options) {
  addrinfo hints{};
  hints.ai_family = options.host.empty() ? AF_INET : AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (options.listen ? AI_PASSIVE : 0);
  addrinfo* list = nullptr;
  const char* const host = options.host.empty() ? nullptr : options.host.c_str();
  if (const int error = ::getaddrinfo(host, options.port.c_str(), &hints, &list)) {
    throw Failure(options.host + ": " + ::gai_strerror(error));
  }
  return {list, ::freeaddrinfo};
}

std::string text_of(const sockaddr_storage& address) {
  char host[NI_MAXHOST] = "?";
  char port[NI_MAXSERV] = "?";
  ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), sizeof address, host, sizeof host,
                port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  return (address.ss_family == AF_INET6 ? '[' + std::string(host) + ']' : host) + ':' + port;
}

void say_connected(const Options& options, const sio::Socket& socket) {
  if (!options.verbose) return;
  const struct sio_info info = socket.info();
  std::fprintf(stderr, "sio_cat: connected to %s by %s, port %u, GID %u %s\n",
               text_of(socket.peer_name()).c_str(), info.device, info.port, info.gid_index,
               info.gid);
}

const char* remedy(int error) {
  switch (error) {
    case ECONNREFUSED:
      return "; is sio_cat -l there, on this port, and on the same provider (sio_info)?";
    case EPROTO:
    case EPROTONOSUPPORT:
      return "; what listens there is not sio_cat, or not of this version";
    case ENODEV:
    case EADDRNOTAVAIL:
    case ENETUNREACH:
    case EHOSTUNREACH:
      return "; sio_info ADDRESS says what leads there";
    default:
      return "";
  }
}

[[noreturn]] void fail_at(const std::string& where, int error) {
  throw Failure(where + ": " + std::strerror(error) + remedy(error));
}

}  // namespace

sio::Socket connect_to_peer(const Options& options, const Memory& memory,
                            const sio::Channel& channel) {
  int error = EADDRNOTAVAIL;
  const AddressList list = resolve(options);
  for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
    sio::Socket socket(at->ai_family);
    memory.associate_with(socket);
    socket.join(channel);
    const sio::Status status = socket.try_connect(at->ai_addr, at->ai_addrlen);
    if (status) {
      say_connected(options, socket);
      return socket;
    }
    error = status.error();
  }
  fail_at(options.host + ':' + options.port, error);
}

Listener::Listener(const Options& options, const Memory& memory) : options_(options) {
  const AddressList list = resolve(options);
  socket_ = sio::Socket(list->ai_family);
  memory.associate_with(socket_);
  try {
    socket_.bind(list->ai_addr, list->ai_addrlen).listen(options.keep ? kBacklog : 1);
  } catch (const std::system_error& error) {
    fail_at("listening at " + options.host + ':' + options.port, error.code().value());
  }
  if (!options.verbose) return;
  std::fprintf(stderr, "sio_cat: listening at %s\n", text_of(socket_.name()).c_str());
}

sio::Socket Listener::accept(const sio::Channel& channel) const {
  for (;;) {
    const int fd =
        sio_accept_ec(socket_.descriptor(), nullptr, nullptr, 0, channel.handle(), nullptr);
    if (fd >= 0) {
      sio::Socket socket = sio::Socket::own(fd);
      say_connected(options_, socket);
      return socket;
    }
    // The connection before this one has not given back its memory yet (sio_close).
    if (errno != ENOBUFS) throw Failure("accepting", errno);
    constexpr timespec kMillisecond{0, 1'000'000};
    ::nanosleep(&kMillisecond, nullptr);
  }
}

}  // namespace sio_cat
