// SPDX-License-Identifier: BSD-2-Clause
//
// Peers of datagram sockets.
#include <cerrno>
#include <cstring>
#include <utility>

#include "conformance/behaviours.h"
#include "conformance/datagrams.h"
#include "conformance/raw_datagrams.h"

namespace sio::test {
namespace {

// Bound (port=), with slots=; says so.
Socket make_bound(const Options& options, const Channel* channel, uint32_t events = EC_DELIVER) {
  Address at = own_address(options);
  if (options.has("port")) at = Address(at.text(), static_cast<uint16_t>(options.number("port")));
  Socket socket = make_datagram_socket(0, at.family());
  if (options.has("slots")) socket.set(SIO_RECV_SLOTS, options.number("slots"));
  if (options.has("reuse")) {
    const int on = 1;
    must(sio_setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
  }
  if (channel != nullptr) socket.join(*channel, events);
  socket.bind(at);
  return socket;
}

void say_listening(const Socket& socket) {
  const Address name = socket.name();
  say("listening %d %s", name.port(), name.text().c_str());
}

// Sends each back from where it lies, until it is told "end".
void echo_delivered(const Options& options) {
  const Channel channel;
  const Socket socket = make_bound(options, &channel);
  say_listening(socket);
  int echoed = 0;
  for (;;) {
    const event_data_t event = channel.next(kPatience);
    if (event.kind == EC_HUP) fail("EC_HUP: %s", std::strerror(event.error));
    if (event.kind != EC_RECV) continue;
    Message message(event);
    if (message.view() == "end") break;
    const Address from(event.data.from);
    const int error = try_send_to(socket, from, message.data(), message.size(), SIO_RELEASE);
    if (error != 0) fail("sio_sendto: %s", std::strerror(error));
    message.give_up();
    ++echoed;
  }
  say("ended %d", echoed);
}

void echo_blocking(const Options& options) {
  const Socket socket = make_bound(options, nullptr);
  say_listening(socket);
  int echoed = 0;
  for (;;) {
    Received received = receive_from(socket);
    if (received.message.view() == "end") break;
    const Message& message = received.message;
    const int error =
        try_send_to(socket, received.from, message.data(), message.size(), SIO_RELEASE);
    if (error != 0) fail("sio_sendto: %s", std::strerror(error));
    received.message.give_up();
    ++echoed;
  }
  say("ended %d", echoed);
}

void datagram_echo(const Options& options) {
  options.text("way", "deliver") == "deliver" ? echo_delivered(options) : echo_blocking(options);
}

// Takes nothing until it is told "drain": all there are; or "last": until one says "last".
void datagram_slow(const Options& options) {
  const Socket socket = make_bound(options, nullptr);
  say_listening(socket);
  int taken = 0;
  for (std::string line = hear(); !line.empty(); line = hear()) {
    if (line == "drain") {
      while (await_from(socket, milliseconds(200))) ++taken;
    } else if (line == "last") {
      bool last = false;
      for (; !last; ++taken) last = receive_from(socket).message.view() == "last";
    }
    const sio_info info = socket.info();
    say("taken %d %llu %llu", taken, static_cast<unsigned long long>(info.datagrams_lost),
        static_cast<unsigned long long>(info.datagrams_late));
  }
}

// A member of group=, at port=, until it is told "end" there: says what it got, but for "hello", of
// which it says the first.
void datagram_member(const Options& options) {
  const Socket socket = make_bound(options, nullptr);
  const Address group(options.text("group"), 0);
  join(socket, group);
  say_listening(socket);
  bool heard = false;
  int taken = 0;
  std::string last;
  for (;;) {
    const Received received = receive_from(socket);
    if (received.message.view() == "end") break;
    if (received.message.view() == "hello") {
      if (!std::exchange(heard, true)) say("heard");
      continue;
    }
    last = received.message.view();
    ++taken;
    if (options.has("answer")) send_to(socket, received.from, "answer");
  }
  const sio_info info = socket.info();
  say("ended %d %llu %s", taken, static_cast<unsigned long long>(info.datagrams_lost),
      last.c_str());
}

// Sends count= of size= bytes to to= port=.
void datagram_source(const Options& options) {
  const Address to = destination(options);
  const Socket socket = make_datagram_socket(0, to.family());
  const std::string bytes(static_cast<size_t>(options.number("size", 16)), 'x');
  for (int n = options.number("count", 1); n > 0; --n) send_to(socket, to, bytes);
  timespec limit = to_timespec(kSoon);
  must(sio_flush(socket.get(), &limit), "sio_flush");
  say("sent");
  hear();
}

// Waits for one, says "awaiting", and "ended ERRNO" when none can come.
void datagram_await(const Options& options) {
  const Socket socket = make_bound(options, nullptr);
  say("awaiting");
  const Status status = socket.receive_from().status;
  say("ended %d", status.error());
}

void raw_datagrams(const Options& options) {
  const Address to = destination(options);
  RawDatagrams(own_address(options), to).send_rubbish();
  say("sent");
  hear();
}

}  // namespace

const Behaviours& datagram_behaviours() {
  static const Behaviours table = {
      {"datagram-echo", datagram_echo},     {"datagram-slow", datagram_slow},
      {"datagram-member", datagram_member}, {"datagram-source", datagram_source},
      {"datagram-await", datagram_await},   {"raw-datagrams", raw_datagrams}};
  return table;
}

}  // namespace sio::test
