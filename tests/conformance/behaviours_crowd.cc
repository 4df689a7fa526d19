// SPDX-License-Identifier: BSD-2-Clause
//
// Many senders at once.
//
//   crowd  makes connections= (1) to to= port= and sends a stream on each: first its number (seed=
//          and on), then count= messages (0: without end) of its pattern (seed, largest= | size=),
//          copied, or of send=BYTES to send from. Says "connected", and "sent N" when all is
//          acknowledged; then closes.
#include <algorithm>
#include <cstring>
#include <map>

#include "conformance/behaviours.h"
#include "conformance/traffic.h"

namespace sio::test {
namespace {

class Crowd {
 public:
  explicit Crowd(const Options& options) : area_(size_t(options.number("send", 1 << 20))) {
    const Address to = destination(options);
    const int count = options.number("count");
    const auto size = static_cast<size_t>(options.number("size"));
    const auto largest = static_cast<size_t>(options.number("largest", kSlot));
    for (int i = 0; i < options.number("connections", 1); ++i) {
      Socket socket = make_socket(options);
      // However long the other end has no slots for one more.
      socket.set(SIO_CONNECT_TIMEOUT, 60'000);
      socket.join(channel_).associate(area_, DMA_SEND).connect(to);
      const auto seed = static_cast<uint64_t>(options.number("seed", 1) + i);
      const bool lends = options.has("send");
      socket.set(SIO_COPY_MAX, static_cast<int>(kSlot));
      const Pattern pattern = size > 0 ? Pattern::of_size(seed, size) : Pattern(seed, largest);
      const int fd = socket.get();
      members_.try_emplace(fd, std::move(socket), pattern,
                           count == 0 ? UINT64_MAX : static_cast<uint64_t>(count),
                           lends ? &area_ : nullptr, seed);
    }
  }

  void run() {
    say("connected");
    while (!finished()) {
      bool busy = false;
      for (auto& [fd, member] : members_) busy |= member.go_on();
      event_data_t events[64];
      const int n = ec_next_events(channel_.get(), events, 64);
      for (int i = 0; i < n; ++i) handle(events[i]);
      if (n < 0 && !busy && !finished()) handle(channel_.next(kPatience));
    }
    uint64_t sent = 0;
    for (auto& [fd, member] : members_) {
      member.socket.flush();
      sent += member.out.count();
    }
    say("sent %llu", static_cast<unsigned long long>(sent));
  }

 private:
  struct Member {
    Member(Socket made, Pattern pattern, uint64_t count, const Area* area, uint64_t seed)
        : socket(std::move(made)),
          out(socket, pattern, count, area != nullptr ? Lend::kMixed : Lend::kCopy, area, kSlot) {
      socket.send(std::to_string(seed));
    }
    // True: it could send more.
    bool go_on() {
      if (stalled || out.all_sent()) return false;
      stalled = out.pump(1 + random.below(8));
      if (out.error() != 0) fail("sio_send: %s", std::strerror(out.error()));
      return !stalled;
    }

    Socket socket;
    Outflow out;
    Random random{9};
    bool stalled = false;
  };

  bool finished() const {
    return std::all_of(members_.begin(), members_.end(),
                       [](const auto& one) { return one.second.out.finished(); });
  }

  void handle(const event_data_t& event) {
    Member& member = members_.at(event.fd);
    if (event.kind == EC_SENT) {
      member.out.sent(event);
    } else if (event.kind != EC_WRITABLE) {
      fail("%s: %s", kind_name(event.kind), std::strerror(event.error));
    }
    // Blocks come back to the area, which all have together.
    for (auto& [fd, other] : members_) other.stalled &= fd != event.fd && event.kind != EC_SENT;
  }

  Area area_;
  Channel channel_;
  std::map<int, Member> members_;
};

void crowd(const Options& options) { Crowd(options).run(); }

}  // namespace

const Behaviours& crowd_behaviours() {
  static const Behaviours table = {{"crowd", crowd}};
  return table;
}

}  // namespace sio::test
