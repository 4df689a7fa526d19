// SPDX-License-Identifier: BSD-2-Clause
//
// Behaviours about how connections begin, stand and end.
//
//   mute     listens (backlog=) and takes nobody until it hears "accept"; "close" closes the
//            listener. Says "accepted", "closed".
//   dial     connects and says "connecting", then "connected" or "failed ERRNO"; then acts.
//   serve    takes one connection, says "accepted PEER SELF" (names), then acts.
//   watch    connects, or takes one connection, says "watching", and "told KIND ERRNO" of the
//            first event that comes.
// Dial and serve act as then= says, until the end of stdin; "close" closes, and says "closed MS":
//   idle     nothing
//   burst    sends count= messages of size= (seed=), says "burst", and never calls the library
//            again; with close=1 it closes first, and says "closed MS"
//   flood    sends for as long as it can, says "flooding", and "ended ERRNO" when it can not
//   stuff    sends until there is no room, says "stuffed N"
//   shut     sends no more, says "shut"
//   hold     takes count= messages and holds them, says "holding N"
//   drain    takes all to the end, says "done N"
//   await    waits for a message, says "awaiting", and "ended ERRNO" when none can come
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "conformance/behaviours.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

void close_and_say(Socket& socket) {
  const auto start = Clock::now();
  must(socket.close(), "sio_close");
  say("closed %lld", static_cast<long long>(since(start).count()));
}

void await_orders(Socket& socket) {
  for (std::string line = hear(); !line.empty(); line = hear()) {
    if (line == "close") close_and_say(socket);
  }
}

void mute(const Options& options) {
  Socket listener = make_listener(options);
  std::vector<Socket> accepted;
  for (std::string line = hear(); !line.empty(); line = hear()) {
    if (line == "accept") {
      accepted.push_back(listener.accept());
      say("accepted");
    } else if (line == "close") {
      listener.close();
      say("closed");
    }
  }
}

// ------------------------------------------------------------------------------------- actions

void burst(Socket& socket, const Options& options) {
  const auto pattern = Pattern::of_size(static_cast<uint64_t>(options.number("seed", 1)),
                                        static_cast<size_t>(options.number("size", 64)));
  send_all_blocking(socket, pattern, static_cast<uint64_t>(options.number("count", 100)));
  if (options.number("close") != 0) close_and_say(socket);
  say("burst");
  for (;;) pause();
}

void flood(Socket& socket, const Options& options) {
  const std::vector<char> data(static_cast<size_t>(options.number("size", 512)));
  int error = 0;
  for (uint64_t n = 0; error == 0; ++n) {
    error = socket.try_send(data.data(), data.size());
    if (n == 100) say("flooding");
  }
  say("ended %d", error);
}

void stuff(Socket& socket, const Options& options) {
  const std::vector<char> data(static_cast<size_t>(options.number("size", 512)));
  int sent = 0;
  while (socket.try_send(data.data(), data.size(), MSG_DONTWAIT) == 0) ++sent;
  if (errno != EAGAIN) fail("sio_send: %s", std::strerror(errno));
  say("stuffed %d", sent);
  await_orders(socket);
}

void shut(Socket& socket, const Options&) {
  must(sio_shutdown(socket.get(), SHUT_WR), "sio_shutdown");
  say("shut");
  await_orders(socket);
}

void hold(Socket& socket, const Options& options) {
  std::vector<Message> held;
  for (int left = options.number("count", 1); left > 0; --left) held.push_back(socket.receive());
  say("holding %zu", held.size());
  await_orders(socket);
}

void drain(Socket& socket, const Options&) {
  int taken = 0;
  while (socket.receive()) ++taken;
  say("done %d", taken);
  await_orders(socket);
}

void await(Socket& socket, const Options&) {
  say("awaiting");
  const Status status = socket.sio::Socket::receive().status;
  say("ended %d", status.error());
}

void act(Socket& socket, const Options& options) {
  static constexpr std::pair<const char*, void (*)(Socket&, const Options&)> kActions[] = {
      {"burst", burst}, {"flood", flood},
      {"stuff", stuff}, {"shut", shut},
      {"hold", hold},   {"drain", drain},
      {"await", await}, {"idle", [](Socket& idle, const Options&) { await_orders(idle); }}};
  const std::string then = options.text("then", "idle");
  for (const auto& [name, action] : kActions) {
    if (then == name) return action(socket, options);
  }
  fail("no action %s", then.c_str());
}

void serve(const Options& options) {
  Socket socket = make_connection(options);
  say("accepted %s %s", socket.peer_name().whole().c_str(), socket.name().whole().c_str());
  act(socket, options);
}

void dial(const Options& options) {
  Socket socket = make_socket(options);
  say("connecting");
  const int error = socket.try_connect(destination(options));
  if (error != 0) return say("failed %d", error);
  say("connected");
  act(socket, options);
}

void watch(const Options& options) {
  const Channel channel;
  const Socket socket = make_connection(options, {&channel});
  say("watching");
  const event_data_t event = channel.next(kPatience);
  say("told %u %d", event.kind, event.error);
}

}  // namespace

const Behaviours& life_behaviours() {
  static const Behaviours table = {
      {"mute", mute}, {"dial", dial}, {"serve", serve}, {"watch", watch}};
  return table;
}

}  // namespace sio::test
