// SPDX-License-Identifier: BSD-2-Clause
//
// ZeroMQ over TCP: a pair of PAIR sockets, which is what it is fastest with, and one thread of its
// own. Long messages are sent from where they lie. Waiting is spinning with ZMQ_DONTWAIT, or a
// blocking receive.
#include <zmq.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sockets/plain_loops.h"

namespace sio_perf {
namespace {

constexpr size_t kQueued = 1000;                // messages at each end: ZeroMQ's own choice;
constexpr size_t kQueuedBytes = 64 * kMaxSize;  // fewer, if they are that long together
constexpr size_t kCopied = 8192;                // bytes: longer messages are not copied
constexpr int kBinds = 100;                     // 10 ms apart
constexpr int kHelloMs = 500;
constexpr int kHellos = 120;  // the server may have another client

[[noreturn]] void fail_with_zmq(const char* what) {
  throw Failure(std::string(what) + ": " + zmq_strerror(zmq_errno()));
}

class ZmqContext {
 public:
  ZmqContext() : context_(zmq_ctx_new()) {}
  ZmqContext(const ZmqContext&) = delete;
  ZmqContext& operator=(const ZmqContext&) = delete;
  ~ZmqContext() { zmq_ctx_term(context_); }
  void* get() const { return context_; }

 private:
  void* context_;
};

void* context() {
  static const ZmqContext one;
  return one.get();
}

std::string endpoint_of(const std::string& host, uint16_t port) {
  return "tcp://" + host + ':' + std::to_string(port);
}

class ZmqEnd {
 public:
  explicit ZmqEnd(const Options& options)
      : ZmqEnd(endpoint_of(options.host, options.port), kHellos) {
    connect();
  }
  // A server's.
  ZmqEnd(const std::string& host, uint16_t port) : ZmqEnd(endpoint_of(host, port), 0) {
    open();
    // A socket that was closed leaves its address when its thread comes to it.
    for (int i = 0; zmq_bind(socket_, endpoint_.c_str()) != 0; ++i) {
      check_stop();
      if (zmq_errno() != EADDRINUSE || i == kBinds) fail_with_zmq("--bind and --port");
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  ZmqEnd(const ZmqEnd&) = delete;
  ZmqEnd& operator=(const ZmqEnd&) = delete;
  ~ZmqEnd() {
    if (client_) say_goodbye();
    zmq_msg_close(&message_);
    zmq_close(socket_);
  }

  void prepare(const Parameters& parameters) {
    flags_ = parameters.event ? 0 : ZMQ_DONTWAIT;
    size_ = parameters.size;
    const size_t queued = std::min(kQueued, kQueuedBytes / size_);
    set(ZMQ_SNDHWM, static_cast<int>(queued));
    set(ZMQ_RCVHWM, static_cast<int>(queued));
    // None is written to while it is on its way. Who sends one to get one has one on its way.
    slots_ = parameters.op == Op::kLatency ? 2 : 2 * queued + 2;
    if (size_ > kCopied) long_.resize(slots_ * size_);
    set(ZMQ_RCVTIMEO, -1);
    hellos_ = 0;
  }

  unsigned char* source() {
    return size_ > kCopied ? long_.data() + next_ % slots_ * size_ : short_.data();
  }

  void send(size_t length, bool) {
    zmq_msg_t message;
    if (length > kCopied) {
      const auto keep = [](void*, void*) {};
      zmq_msg_init_data(&message, source(), length, keep, nullptr);
      ++next_;
    } else {
      zmq_msg_init_size(&message, length);
      std::memcpy(zmq_msg_data(&message), source(), length);
    }
    while (zmq_msg_send(&message, socket_, 0) < 0) interrupted();
  }

  const unsigned char* receive(size_t) {
    while (zmq_msg_recv(&message_, socket_, flags_) < 0) {
      const bool late = zmq_errno() == EAGAIN && flags_ == 0;
      if (late && client_) say_hello_again();
      if (!late) interrupted();
    }
    if (zmq_msg_size(&message_) == 0) throw PeerGone("the client says goodbye");
    return static_cast<const unsigned char*>(zmq_msg_data(&message_));
  }

 private:
  ZmqEnd(std::string endpoint, int hellos)
      : endpoint_(std::move(endpoint)), client_(hellos > 0), hellos_(hellos), short_(kCopied) {
    zmq_msg_init(&message_);
  }

  void open() {
    socket_ = zmq_socket(context(), ZMQ_PAIR);
    if (socket_ == nullptr) fail_with_zmq("zmq_socket");
    set(ZMQ_LINGER, 1000);
  }

  void connect() {
    open();
    set(ZMQ_RCVTIMEO, kHelloMs);
    if (zmq_connect(socket_, endpoint_.c_str()) != 0) fail_with_zmq(endpoint_.c_str());
  }

  // Neither does ZeroMQ tell of an end, nor that the other socket already had somebody to talk to:
  // what was said to it is lost.
  void say_goodbye() { zmq_send(socket_, nullptr, 0, ZMQ_DONTWAIT); }
  void say_hello_again() {
    check_stop();
    if (--hellos_ <= 0) throw Failure("no answer; start `sio_perf zmq-server` there");
    say_goodbye();
    zmq_close(socket_);
    connect();
    send(kParameterBytes, true);
  }

  void set(int option, int value) { zmq_setsockopt(socket_, option, &value, sizeof value); }

  static void interrupted() {
    check_stop();
    if (zmq_errno() != EAGAIN && zmq_errno() != EINTR) fail_with_zmq("ZeroMQ");
  }

  void* socket_ = nullptr;
  const std::string endpoint_;
  const bool client_;
  int hellos_;  // left to be said
  int flags_ = 0;
  size_t size_ = 0;
  size_t slots_ = 0;  // in long_
  std::vector<unsigned char> short_, long_;
  uint64_t next_ = 0;
  zmq_msg_t message_;
};

}  // namespace

std::unique_ptr<Client> connect_zmq(const Options& options, uint32_t size) {
  return std::make_unique<PlainClient<ZmqEnd>>(options, size, "zmq");
}

// A PAIR socket is for one client.
void serve_zmq(const Options& options) {
  do {
    ZmqEnd end(options.bind, options.port);
    serve_client(options, end);
  } while (!options.once);
}

}  // namespace sio_perf
