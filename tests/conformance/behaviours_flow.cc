// SPDX-License-Identifier: BSD-2-Clause
//
// Behaviours that send and receive.
//
// All of them: receive=BYTES of receive memory; and those that send: send=BYTES to send from.
//
//   echo      sends back the very buffers that it received; connections= (1), then it ends.
//             jitter=US: spins up to that long before it answers.
//             way=deliver|readable|blocking|poll (one connection, but for deliver). Says "ended N"
//             for each connection.
//   sink      takes a stream: seed=, largest= | size=, count= (0: to the end), way=.
//             Says "done N BYTES".
//   source    sends a stream: seed=, largest= | size=, count=, lend=copy|mixed, channel=0|1.
//             Says "sent N BYTES" when all is acknowledged, then closes.
//   exchange  both at once: seed= of what it sends, seed+1 is what it takes.
//   slow      takes nothing until it hears: "take N" (releases), "hold N" (does not), "release"
//             (what it holds, in random order), "drain" (to the end). Says each word back.
//   hoarder   holds whatever comes until nothing more does, then releases a random half.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>

#include "conformance/behaviours.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

Pattern pattern_of(const Options& options, uint64_t more = 0) {
  const auto seed = static_cast<uint64_t>(options.number("seed", 1)) + more;
  if (options.has("size"))
    return Pattern::of_size(seed, static_cast<size_t>(options.number("size")));
  return Pattern(seed, static_cast<size_t>(options.number("largest", kSlot)));
}

uint64_t count_of(const Options& options) {
  const int count = options.number("count");
  return count == 0 ? UINT64_MAX : static_cast<uint64_t>(count);
}

void say_done(const char* word, uint64_t count, uint64_t bytes) {
  say("%s %llu %llu", word, static_cast<unsigned long long>(count),
      static_cast<unsigned long long>(bytes));
}

// --------------------------------------------------------------------------------------- echo

class Jitter {
 public:
  explicit Jitter(const Options& options) : most_us_(options.number("jitter")) {}
  void operator()() {
    if (most_us_ > 0) {
      spin_for(std::chrono::nanoseconds(random_.below(static_cast<size_t>(most_us_) * 1000)));
    }
  }

 private:
  int most_us_;
  Random random_{7};
};

class EchoServer {
 public:
  explicit EchoServer(const Options& options)
      : jitter_(options), listener_(make_listener(options, {&channel_})) {}

  void serve(int connections) {
    while (ended_ < connections) handle(channel_.next(kPatience));
  }

 private:
  struct Connection {
    Socket socket;
    std::deque<Message> queue;  // received and not sent back yet
    uint64_t echoed = 0;
    bool end = false;
  };

  void handle(const event_data_t& event) {
    if (event.kind == EC_ACCEPT) {
      Socket socket = listener_.accept();
      const int fd = socket.get();
      connections_[fd].socket = std::move(socket);
      return;
    }
    Connection& connection = connections_.at(event.fd);
    if (event.kind == EC_RECV) connection.queue.emplace_back(event);
    connection.end |= event.kind == EC_EOF || event.kind == EC_HUP;
    if (event.kind == EC_HUP) connection.queue.clear();
    jitter_();
    send_back(connection);
    if (connection.end && connection.queue.empty()) {
      say("ended %llu", static_cast<unsigned long long>(connection.echoed));
      connections_.erase(event.fd);
      ++ended_;
    }
  }

  static void send_back(Connection& connection) {
    while (!connection.queue.empty()) {
      Message& first = connection.queue.front();
      const int error =
          connection.socket.try_send(first.data(), first.size(), SIO_RELEASE | MSG_DONTWAIT);
      if (error == EAGAIN) return;
      if (error == 0) {
        first.give_up();
        ++connection.echoed;
      }
      connection.queue.pop_front();
    }
  }

  Jitter jitter_;
  Channel channel_;
  Socket listener_;
  std::map<int, Connection> connections_;
  int ended_ = 0;
};

// One connection; a message is taken, answered, and only then the next one looked for.
void echo_one_by_one(const Options& options, Way way) {
  std::optional<Channel> own;
  if (events_of(way) != 0) own.emplace();
  const Channel* channel = own ? &*own : nullptr;
  Socket socket = make_connection(options, {channel, events_of(way)});
  Jitter jitter(options);
  uint64_t echoed = 0;
  while (Message message = receive_one(way, channel, socket)) {
    jitter();
    must(sio_send(socket.get(), message.data(), message.size(), SIO_RELEASE), "sio_send");
    message.give_up();
    ++echoed;
  }
  say("ended %llu", static_cast<unsigned long long>(echoed));
}

void echo(const Options& options) {
  const Way way = way_of(options.text("way", "deliver"));
  if (way == Way::kDeliver) return EchoServer(options).serve(options.number("connections", 1));
  echo_one_by_one(options, way);
}

// ---------------------------------------------------------------------------- sink and source

void sink(const Options& options) {
  const Way way = way_of(options.text("way", "deliver"));
  std::optional<Channel> own;
  if (events_of(way) != 0) own.emplace();
  const Channel* channel = own ? &*own : nullptr;
  Socket socket = make_connection(options, {channel, events_of(way)});
  Inflow in(pattern_of(options), count_of(options));
  receive_all(way, channel, socket, in);
  say_done("done", in.taken(), in.bytes());
}

void source(const Options& options) {
  const bool mixed = options.text("lend", "copy") == "mixed";
  const auto count = static_cast<uint64_t>(options.number("count"));
  const Area area(static_cast<size_t>(options.number("send", 1 << 20)));
  if (options.number("channel", 1) == 0) {
    Socket socket = make_connection(options, {nullptr, 0, &area});
    send_all_blocking(socket, pattern_of(options), count, mixed ? &area : nullptr);
    socket.flush();
    return say_done("sent", count, 0);
  }
  const Channel channel;
  Socket socket = make_connection(options, {&channel, EC_DELIVER, &area});
  Outflow out(socket, pattern_of(options), count, mixed ? Lend::kMixed : Lend::kCopy, &area);
  Inflow nothing(Pattern(0), 0);
  exchange(channel, out, nothing);
  socket.flush();
  say_done("sent", out.count(), out.bytes());
}

void exchange_both(const Options& options) {
  const Area area(static_cast<size_t>(options.number("send", 2 << 20)));
  const Channel channel;
  Socket socket = make_connection(options, {&channel, EC_DELIVER, &area});
  const uint64_t count = count_of(options);
  Outflow out(socket, pattern_of(options), count, Lend::kMixed, &area);
  Inflow in(pattern_of(options, 1), count);
  const bool ended = exchange(channel, out, in);
  say_done("done", in.taken(), in.bytes());
  if (!ended) channel.skip_to(EC_EOF);  // who goes first must not cut the other short
}

// ----------------------------------------------------------------------------- slow and hoarder

void slow(const Options& options) {
  Socket socket = make_connection(options);
  Inflow in(pattern_of(options));
  Random random(5);
  std::vector<Message> held;
  for (std::string line = hear(); !line.empty(); line = hear()) {
    const std::string said = line;
    const std::string verb = take_word(line);
    for (uint64_t n = line.empty() ? 0 : std::stoull(line); n > 0; --n) {
      Message message = socket.receive();
      if (!message) fail("the end, %llu messages early", static_cast<unsigned long long>(n));
      in.take(message);
      if (verb == "hold") held.push_back(std::move(message));
    }
    if (verb == "release" || verb == "drain") {
      while (!held.empty()) {
        std::swap(held[random.below(held.size())], held.back());
        held.pop_back();
      }
    }
    if (verb == "drain") {
      receive_all(Way::kBlocking, nullptr, socket, in);
      return say_done("done", in.taken(), in.bytes());
    }
    say("%s", said.c_str());
  }
}

class Hoarder {
 public:
  explicit Hoarder(const Options& options)
      : socket_(make_connection(options, {&channel_})),
        in_(pattern_of(options)),
        area_(socket_.get_option<dma_mem_t>(SIO_AREA)) {}

  void run() {
    bool end = false;
    while (!end) {
      const auto event = channel_.try_next(held_.empty() ? kSoon : kPatience);
      if (!event) {
        if (held_.empty()) fail("nothing comes any more");
        release(held_.size() / 2);
        continue;
      }
      if (event->kind == EC_HUP) fail("EC_HUP: %s", std::strerror(event->error));
      end = event->kind == EC_EOF;
      if (event->kind == EC_RECV) hold(Message(*event));
    }
    most_ = std::max(most_, held_.size());
    release(0);
    say("done %llu %zu", static_cast<unsigned long long>(in_.taken()), most_);
  }

 private:
  // Longer than a sender takes that has credits, or one that is quick would never hoard.
  static constexpr milliseconds kPatience{5};

  void hold(Message message) {
    in_.take(message);
    held_.push_back(std::move(message));
    most_ = std::max(most_, held_.size());
    accounts(area_);
  }

  void release(size_t leave) {
    while (held_.size() > leave) {
      std::swap(held_[random_.below(held_.size())], held_.back());
      held_.pop_back();
    }
    accounts(area_);
  }

  Channel channel_;
  Socket socket_;
  Inflow in_;
  dma_mem_t area_;
  std::vector<Message> held_;
  size_t most_ = 0;
  Random random_{3};
};

void hoarder(const Options& options) { Hoarder(options).run(); }

}  // namespace

const Behaviours& flow_behaviours() {
  static const Behaviours table = {{"echo", echo},     {"sink", sink},
                                   {"source", source}, {"exchange", exchange_both},
                                   {"slow", slow},     {"hoarder", hoarder}};
  return table;
}

}  // namespace sio::test
