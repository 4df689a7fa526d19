// SPDX-License-Identifier: BSD-2-Clause
//
// talk listen ADDRESS | talk connect ADDRESS SELF     says everything that the protocol has, for a
// capture
//
// Both print what they send, "sent KIND NUMBER BYTES"; byte j of what has number n is (n + j)
// modulo 256. KIND: message, stream (its number is the offset), datagram, group.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sio/sio.hpp>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

constexpr uint16_t kMessages = 7000;
constexpr uint16_t kStream = 7001;
constexpr uint16_t kDatagrams = 7002;
constexpr const char* kGroup = "239.255.8.1";

constexpr size_t kLargest = 3 << 20;
constexpr int kSlots = 8;  // few, so that credits come back
constexpr size_t kReceive = (kSlots + 4) * 8192 + 2 * kLargest;
constexpr size_t kSend = 8 << 20;

// Empty; with padding; of one packet; of several; a slot full; small ones, which gather in trains;
// of more than a slot, and of more than a SEND of the bulk lane takes.
std::vector<size_t> sizes_to_server() {
  std::vector<size_t> sizes{0, 5, 1000, 4096, 4097, 8192};
  for (size_t i = 0; i < 200; ++i) sizes.push_back(i % 40);
  sizes.insert(sizes.end(), {8193, 100'000, 1 << 20, (2 << 20) + 777, 1});
  return sizes;
}

std::vector<size_t> sizes_to_client() {
  std::vector<size_t> sizes{7};
  for (size_t i = 0; i < 100; ++i) sizes.push_back(300);
  sizes.insert(sizes.end(), {20'000, 6000});
  return sizes;
}

sockaddr_in address_of(const char* ip, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::inet_pton(AF_INET, ip, &address.sin_addr) != 1) throw std::runtime_error("no address");
  return address;
}

void must(sio::Status status, const char* what) {
  if (!status) throw std::system_error(status.code(), what);
}

// A block of the area with the content of number `n`. The area has room for all.
sio::Buffer content(const sio::Area& area, size_t n, size_t bytes) {
  sio::Buffer buffer = area.reserve(bytes);
  if (!buffer) throw std::runtime_error("no room for what is to be sent");
  for (size_t j = 0; j < bytes; ++j) buffer.data()[j] = static_cast<std::byte>(n + j);
  return buffer;
}

void told(const char* kind, size_t number, size_t bytes) {
  std::printf("sent %s %zu %zu\n", kind, number, bytes);
}

void send_messages(sio::Socket& socket, const sio::Area& area, const std::vector<size_t>& sizes) {
  size_t number = 0;
  for (const size_t bytes : sizes) {
    ++number;
    // What is small may wait for the next ones: so trains do not depend on how fast a machine is.
    must(bytes == 0 ? socket.send("", MSG_MORE)
                    : socket.send(content(area, number, bytes), MSG_MORE),
         "sio_send");
    told("message", number, bytes);
  }
  must(socket.flush(), "sio_flush");
}

void receive_to_the_end(sio::Socket& socket) {
  for (;;) {
    const auto [status, message] = socket.receive();
    must(status, "sio_recv");
    if (!message) return;
  }
}

void send_stream(sio::Socket& socket, const sio::Area& area, std::vector<size_t> sizes) {
  size_t offset = 0;
  for (const size_t bytes : sizes) {
    must(socket.send(content(area, offset, bytes)), "sio_send");
    told("stream", offset, bytes);
    offset += bytes;
  }
  must(socket.flush(), "sio_flush");
}

sio::Socket listening(const char* ip, uint16_t port, int type, const sio::Area& send_area,
                      const sio::Area& receive_area) {
  sio::Socket listener(AF_INET, type);  // what it accepts has these areas, too
  listener.associate(send_area, 0, DMA_SEND).associate(receive_area, kReceive, DMA_RECV);
  listener.set(SIO_RECV_SLOTS, kSlots).bind(address_of(ip, port)).listen();
  return listener;
}

void serve(const char* ip) {
  const sio::Area area(kSend), for_messages(kReceive), for_stream(kReceive), for_datagrams(1 << 20);
  sio::Socket messages = listening(ip, kMessages, SOCK_SEQPACKET, area, for_messages);
  sio::Socket stream = listening(ip, kStream, SOCK_STREAM, area, for_stream);
  sio::Socket datagrams(AF_INET, SOCK_DGRAM);
  datagrams.bind(address_of(ip, kDatagrams));
  {
    sio::Socket peer = messages.accept();
    receive_to_the_end(peer);
    send_messages(peer, area, sizes_to_client());
    must(peer.close(), "sio_close");
  }
  {
    sio::Socket peer = stream.accept();
    receive_to_the_end(peer);
    send_stream(peer, area, {300});
    must(peer.close(), "sio_close");
  }
  const auto [status, datagram, from] = datagrams.receive_from();
  must(status, "sio_recvfrom");
  must(datagrams.send_to(from, "answer"), "sio_sendto");
  must(datagrams.flush(), "sio_flush");
  std::fflush(stdout);
  std::this_thread::sleep_for(1h);  // until the other machine has ended
}

// The other machine may not listen yet.
void connect_in_time(sio::Socket& socket, const sockaddr_in& to) {
  const auto limit = std::chrono::steady_clock::now() + 20s;
  for (;;) {
    const auto status = socket.try_connect(reinterpret_cast<const sockaddr*>(&to), sizeof to);
    if (status) return;
    if (status.error() != ECONNREFUSED || std::chrono::steady_clock::now() > limit) {
      must(status, "sio_connect");
    }
    std::this_thread::sleep_for(100ms);
  }
}

void use_messages(const char* ip, const sio::Area& area) {
  const sio::Area for_messages(kReceive);
  sio::Socket socket(AF_INET);
  socket.associate(area, 0, DMA_SEND).associate(for_messages, kReceive, DMA_RECV);
  socket.set(SIO_RECV_SLOTS, kSlots).set(SIO_KEEPALIVE_MS, 100);
  connect_in_time(socket, address_of(ip, kMessages));
  std::this_thread::sleep_for(500ms);  // nothing is said, but by the keepalive
  send_messages(socket, area, sizes_to_server());
  must(socket.shutdown(SHUT_WR), "sio_shutdown");
  receive_to_the_end(socket);
  must(socket.close(), "sio_close");
}

void use_stream(const char* ip, const sio::Area& area) {
  sio::Socket socket(AF_INET, SOCK_STREAM);
  socket.associate(area, 0, DMA_SEND).connect(address_of(ip, kStream));
  send_stream(socket, area, {10, 20'000, 1});
  must(socket.shutdown(SHUT_WR), "sio_shutdown");
  receive_to_the_end(socket);
  must(socket.close(), "sio_close");
}

// A stream where messages are wanted.
void be_refused(const char* ip) {
  sio::Socket socket(AF_INET, SOCK_STREAM);
  const sockaddr_in at = address_of(ip, kMessages);
  const auto status = socket.try_connect(reinterpret_cast<const sockaddr*>(&at), sizeof at);
  if (status.error() != EPROTO) throw std::runtime_error("the stream was not refused");
  std::printf("refused 2\n");
}

void use_datagrams(const char* ip, const char* self, const sio::Area& area) {
  sio::Socket socket(AF_INET, SOCK_DGRAM);
  socket.associate(area, 0, DMA_SEND).bind(address_of(self, 0));
  size_t number = 0;
  const auto send = [&](const char* kind, const sockaddr_in& to, size_t bytes) {
    must(bytes == 0 ? socket.send_to(to, "") : socket.send_to(to, content(area, number, bytes)),
         "sio_sendto");
    told(kind, number++, bytes);
  };
  for (const size_t bytes : {size_t{9}, size_t{0}, size_t{1000}, size_t{1001}}) {
    send("datagram", address_of(ip, kDatagrams), bytes);
  }
  for (const size_t bytes : {size_t{0}, size_t{3}, size_t{1000}}) {
    send("group", address_of(kGroup, kDatagrams), bytes);
  }
  must(socket.flush(), "sio_flush");
  must(socket.receive_from().status, "sio_recvfrom");
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 3 && std::string_view(argv[1]) == "listen") {
    serve(argv[2]);
  } else if (argc == 4 && std::string_view(argv[1]) == "connect") {
    const sio::Area area(kSend);
    use_messages(argv[2], area);
    be_refused(argv[2]);
    use_stream(argv[2], area);
    use_datagrams(argv[2], argv[3], area);
  } else {
    std::fprintf(stderr, "usage: talk listen ADDRESS | talk connect ADDRESS SELF\n");
    return 2;
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "talk: %s\n", error.what());
  return 1;
}
