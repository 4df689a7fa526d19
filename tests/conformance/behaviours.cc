// SPDX-License-Identifier: BSD-2-Clause
#include "conformance/behaviours.h"

#include <unistd.h>

#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "provider/soft/queue_pair.h"

namespace sio::test {

Options::Options(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) fail("%s is not key=value", word.c_str());
    values_[word.substr(0, equals)] = word.substr(equals + 1);
  }
}

std::string Options::text(const std::string& key, const std::string& otherwise) const {
  const auto found = values_.find(key);
  return found == values_.end() ? otherwise : found->second;
}

int Options::number(const std::string& key, int otherwise) const {
  return has(key) ? std::stoi(text(key)) : otherwise;
}

void say(const char* format, ...) {
  va_list args;
  va_start(args, format);
  std::vprintf(format, args);
  va_end(args);
  std::putchar('\n');
  std::fflush(stdout);
}

std::string hear() {
  static LineReader input(STDIN_FILENO);
  return input.line(kPatience).value_or("");
}

Address own_address(const Options& options) {
  const std::string wish = options.text("address");
  if (wish == "ipv6") return {global_ipv6_of(interface_of(Address::self().text())), 0};
  return wish.empty() ? Address::self() : Address(wish, 0);
}

Address destination(const Options& options) {
  return {options.text("to"), static_cast<uint16_t>(options.number("port"))};
}

Socket make_socket(const Options& options) {
  static constexpr std::pair<const char*, int> kNumbers[] = {
      {"slots", SIO_RECV_SLOTS}, {"slot_size", SIO_SLOT_SIZE},    {"copy_max", SIO_COPY_MAX},
      {"quota", SIO_SEND_QUOTA}, {"keepalive", SIO_KEEPALIVE_MS}, {"spin", SIO_SPIN_US},
      {"nodelay", SIO_NODELAY},  {"timeout", SIO_CONNECT_TIMEOUT}};
  const int type = options.text("type") == "stream" ? SOCK_STREAM : SOCK_SEQPACKET;
  Socket socket = Socket::make(0, own_address(options).family(), type);
  for (const auto& [key, option] : kNumbers) {
    if (options.has(key)) socket.set(option, options.number(key));
  }
  if (options.has("linger")) socket.set_linger(options.number("linger"));
  return socket;
}

namespace {

// Of receive=BYTES; it outlives the socket.
const Area& receive_memory(const Options& options) {
  static const Area area(static_cast<size_t>(options.number("receive")));
  return area;
}

void place(const Options& options, Socket& socket, const Surroundings& around) {
  if (options.has("receive")) socket.associate(receive_memory(options));
  if (around.channel != nullptr) socket.join(*around.channel, around.events);
  if (around.send_area != nullptr) socket.associate(*around.send_area, DMA_SEND);
}

}  // namespace

Socket make_listener(const Options& options, const Surroundings& around) {
  Socket listener = make_socket(options);
  place(options, listener, around);
  listener.bind(own_address(options)).listen(options.number("backlog", 64));
  const Address name = listener.name();
  say("listening %d %s", name.port(), name.text().c_str());
  return listener;
}

Socket make_connection(const Options& options, const Surroundings& around) {
  if (!options.has("port")) {
    Socket listener = make_listener(options, around);
    if (around.channel != nullptr) around.channel->expect(EC_ACCEPT, kPatience);
    return listener.accept();
  }
  Socket socket = make_socket(options);
  place(options, socket, around);
  socket.connect(destination(options));
  return socket;
}

namespace {

Behaviour find_behaviour(const std::string& name) {
  for (const auto* table :
       {&flow_behaviours(), &life_behaviours(), &system_behaviours(), &raw_behaviours(),
        &crowd_behaviours(), &stream_behaviours(), &datagram_behaviours(), &figures_behaviours()}) {
    for (const NamedBehaviour& one : *table) {
      if (name == one.name) return one.run;
    }
  }
  fail("no behaviour %s", name.c_str());
}

}  // namespace

int run_behaviour(const std::string& command) {
  try {
    auto words = split_words(command);
    if (words.empty()) fail("no behaviour");
    const std::string name = words.front();
    words.erase(words.begin());
    find_behaviour(name)(Options(words));
    // What a device's counters would show in the test's own process. Hostile ends may do as they
    // like.
    const bool honest = name.rfind("raw-", 0) != 0;
    if (honest && internal::provider::soft::receivers_not_ready > 0) {
      complain("receivers were not ready");
    }
  } catch (const std::exception& error) {
    say("error %s", error.what());
    return 1;
  }
  return complaints() == 0 ? 0 : 2;
}

}  // namespace sio::test
