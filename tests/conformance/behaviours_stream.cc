// SPDX-License-Identifier: BSD-2-Clause
//
// Behaviours on streams of bytes (type=stream is understood).
//
//   bytes-out    sends bytes= of the stream seed= in portions of at most largest= bytes, by turns
//                copied, lent and gathered; then ends its side, takes what comes to the end and
//                says "sent N".
//   bytes-in     takes the stream seed= to its end, in portions of at most most= bytes, releasing
//                them in others, and holding at most hold= (3) of them; says "got N" and, with
//                back=, sends N of the stream seed + 1.
//   bytes-echo   sends back what it takes, in the portions in which it comes, to the end.
//   stubborn     takes nothing, says "connected", and ends when it is told to ("go").
#include <algorithm>
#include <deque>

#include "conformance/behaviours.h"
#include "conformance/byte_stream.h"

namespace sio::test {
namespace {

Socket make_stream(const Options& options, const Surroundings& around = {}) {
  Socket listener = Socket::make(0, own_address(options).family(), SOCK_STREAM);
  if (options.has("slots")) listener.set(SIO_RECV_SLOTS, options.number("slots"));
  if (options.has("slot_size")) listener.set(SIO_SLOT_SIZE, options.number("slot_size"));
  if (around.channel != nullptr) listener.join(*around.channel, around.events);
  if (around.send_area != nullptr) listener.associate(*around.send_area, DMA_SEND);
  listener.bind(own_address(options)).listen();
  const Address name = listener.name();
  say("listening %d %s", name.port(), name.text().c_str());
  return listener.accept();
}

void say_bytes(const char* word, uint64_t bytes) {
  say("%s %llu", word, static_cast<unsigned long long>(bytes));
}

// ------------------------------------------------------------------------------------ bytes-out

// From blocking calls. Blocks come back by themselves.
void send_stream(Socket& socket, const Area& area, ByteStream& stream, uint64_t bytes,
                 size_t largest, unsigned seed) {
  Random random(seed);
  while (stream.position() < bytes) {
    const size_t n = std::min<uint64_t>(1 + random.below(largest), bytes - stream.position());
    if (n <= 1024 && random.below(2) == 0) {
      std::vector<std::byte> copied(n);
      stream.put(copied);
      must(sio_send(socket.get(), copied.data(), n, 0), "sio_send");
      continue;
    }
    void* block = nullptr;
    while (sio_reserve(area.get(), &block, n) != 0) {
      if (errno != ENOBUFS) fail("sio_reserve: %s", std::strerror(errno));
      socket.flush(kPatience);
    }
    stream.put({static_cast<std::byte*>(block), n});
    const int flags = SIO_RELEASE | (random.below(8) == 0 ? MSG_MORE : 0);
    must(sio_send(socket.get(), block, n, flags), "sio_send");
  }
}

void bytes_out(const Options& options) {
  const Area area(size_t{4} << 20);
  Surroundings around;
  around.send_area = &area;
  Socket socket = make_stream(options, around);
  const auto seed = static_cast<unsigned>(options.number("seed", 1));
  const auto bytes = static_cast<uint64_t>(options.number("bytes"));
  ByteStream stream(seed);
  send_stream(socket, area, stream, bytes, static_cast<size_t>(options.number("largest", 20000)),
              seed);
  must(sio_shutdown(socket.get(), SHUT_WR), "sio_shutdown");
  while (socket.receive()) {
  }
  socket.flush(kPatience);
  say_bytes("sent", bytes);
}

// ------------------------------------------------------------------------------------- bytes-in

// Bytes that are held, and go back from the front in portions of their own.
class Held {
 public:
  explicit Held(unsigned seed) : random_(seed) {}
  ~Held() { release_some(SIZE_MAX); }
  void hold(void* data, size_t size) { pieces_.push_back({static_cast<char*>(data), size}); }
  void release_some(size_t least_held) {
    while (!pieces_.empty() && (least_held == SIZE_MAX || pieces_.size() > least_held)) {
      Piece& first = pieces_.front();
      const size_t n = 1 + random_.below(first.size);
      must(sio_release(nullptr, first.data, n), "sio_release");
      first.data += n;
      first.size -= n;
      if (first.size == 0) pieces_.pop_front();
    }
  }

 private:
  struct Piece {
    char* data;
    size_t size;
  };
  std::deque<Piece> pieces_;
  Random random_;
};

void bytes_in(const Options& options) {
  Socket socket = make_stream(options);
  const auto seed = static_cast<unsigned>(options.number("seed", 1));
  const auto most = static_cast<size_t>(options.number("most", 10000));
  const auto hold = static_cast<size_t>(options.number("hold", 3));
  ByteStream stream(seed);
  Held held(seed);
  Random random(seed + 7);
  for (;;) {
    void* data = nullptr;
    const int n = must(sio_recv(socket.get(), &data, 1 + random.below(most), 0), "sio_recv");
    if (data == nullptr) break;
    stream.check({static_cast<std::byte*>(data), static_cast<size_t>(n)});
    held.hold(data, static_cast<size_t>(n));
    held.release_some(random.below(hold + 1));
  }
  say_bytes("got", stream.position());
  if (options.has("back")) {
    const Area none;
    ByteStream back(seed + 1);
    std::vector<std::byte> copied(1000);
    for (uint64_t left = stream.position(); left > 0;) {
      const size_t n = std::min<uint64_t>(left, copied.size());
      back.put({copied.data(), n});
      must(sio_send(socket.get(), copied.data(), n, 0), "sio_send");
      left -= n;
    }
    socket.flush(kPatience);
  }
}

// ------------------------------------------------------------------------------------ the others

void bytes_echo(const Options& options) {
  Socket socket = make_stream(options);
  for (;;) {
    Message bytes = socket.receive();
    if (!bytes) break;
    must(sio_send(socket.get(), bytes.data(), bytes.size(), SIO_RELEASE), "sio_send");
    bytes.give_up();
  }
  socket.flush(kPatience);
}

void stubborn(const Options& options) {
  const Socket socket = make_stream(options);
  say("connected");
  if (hear() != "go") fail("not told to go");
}

}  // namespace

const Behaviours& stream_behaviours() {
  static const Behaviours all = {{"bytes-out", bytes_out},
                                 {"bytes-in", bytes_in},
                                 {"bytes-echo", bytes_echo},
                                 {"stubborn", stubborn}};
  return all;
}

}  // namespace sio::test
