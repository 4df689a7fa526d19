// SPDX-License-Identifier: BSD-2-Clause
//
// sio_cat: netcat on libsio. Exit status: failure.h.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <utility>

#include "cat/connect.h"
#include "cat/failure.h"
#include "cat/options.h"
#include "cat/transfer.h"

namespace sio_cat {
namespace {

// One that is closed would be the number of a descriptor of the library's. Opened the wrong way
// round it fails when it is used.
void occupy_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    if (::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
      throw Failure("/dev/null", errno);
  }
}

// The channel goes after the transfer, whose sockets are in it.
ExitStatus connect_once(const Options& options, const Memory& memory) {
  const sio::Channel channel(0);
  return Transfer(options, memory, channel, connect_to_peer(options, memory, channel)).run();
}

// Others are refused as soon as one has come.
ExitStatus accept_once(const Options& options, const Memory& memory) {
  const sio::Channel channel(0);
  sio::Socket socket = Listener(options, memory).accept(channel);
  return Transfer(options, memory, channel, std::move(socket)).run();
}

// Until a signal ends the program. What becomes of one peer is told, and is no matter of the next
// one's.
[[noreturn]] void serve(const Options& options, const Memory& memory) {
  const Listener listener(options, memory);
  for (;;) {
    const sio::Channel channel(0);
    sio::Socket socket = listener.accept(channel);
    try {
      Transfer(options, memory, channel, std::move(socket)).run();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "sio_cat: %s\n", error.what());
    }
  }
}

ExitStatus transfer(const Options& options) {
  const Memory memory;
  if (options.keep) serve(options, memory);
  return options.listen ? accept_once(options, memory) : connect_once(options, memory);
}

int run(int argc, char** argv) {
  const Parsed parsed = parse_options(argc, argv);
  if (!parsed.options) return parsed.status;
  try {
    occupy_standard_descriptors();
    std::signal(SIGPIPE, SIG_IGN);  // it is an error of write(2), to be told
    return transfer(*parsed.options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sio_cat: %s\n", error.what());
    return kFailed;
  }
}

}  // namespace
}  // namespace sio_cat

int main(int argc, char** argv) { return sio_cat::run(argc, argv); }
