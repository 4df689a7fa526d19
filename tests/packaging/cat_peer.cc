// SPDX-License-Identifier: BSD-2-Clause
//
// cat_peer ADDRESS PORT MESSAGE...     a peer of sio_cat's that says what it is told to
//
// Sends each MESSAGE, hexadecimal digits, and then the end. Prints what comes likewise, a line for
// each message, until the end.
#include <arpa/inet.h>
#include <sio/sio.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

namespace {

sockaddr_in address_of(const char* ip, const char* port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(port)));
  if (::inet_pton(AF_INET, ip, &address.sin_addr) != 1) throw std::runtime_error("no address");
  return address;
}

std::string bytes_of(const std::string& digits) {
  std::string bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

void print(const sio::Buffer& message) {
  for (const std::byte one : message.bytes()) std::printf("%02x", std::to_integer<unsigned>(one));
  std::printf("\n");
}

void must(sio::Status status, const char* what) {
  if (!status) throw std::system_error(status.code(), what);
}

void talk(int argc, char** argv) {
  sio::Socket socket(AF_INET);
  socket.connect(address_of(argv[1], argv[2]));
  for (int i = 3; i < argc; ++i) must(socket.send(bytes_of(argv[i])), "sio_send");
  must(socket.shutdown(SHUT_WR), "sio_shutdown");
  for (;;) {
    const auto [status, message] = socket.receive();
    must(status, "sio_recv");
    if (!message) return;
    print(message);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return std::fprintf(stderr, "usage: cat_peer ADDRESS PORT MESSAGE...\n"), 2;
  try {
    talk(argc, argv);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cat_peer: %s\n", error.what());
    return 1;
  }
}
