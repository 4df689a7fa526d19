// SPDX-License-Identifier: BSD-2-Clause
#include "conformance/traffic.h"

#include <poll.h>

#include <cerrno>
#include <cstring>

namespace sio::test {
namespace {

// SplitMix64: neighbouring numbers become unlike ones.
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

constexpr uint64_t kStep = 0xda942042e4dd58b5u;

}  // namespace

void spin_for(std::chrono::nanoseconds time) {
  const auto end = Clock::now() + time;
  while (Clock::now() < end) {
  }
}

// ------------------------------------------------------------------------------------ pattern

Pattern Pattern::of_size(uint64_t seed, size_t fixed) {
  Pattern pattern(seed, fixed);
  pattern.fixed_ = true;
  return pattern;
}

size_t Pattern::size(uint64_t n) const {
  if (fixed_) return largest_;
  const uint64_t draw = mix(seed_ ^ mix(n));
  // One in four is anything; the others have each order of magnitude as often.
  const unsigned shift = draw % 4 == 0 ? 0 : static_cast<unsigned>(draw >> 8) % 14;
  return (draw >> 16) % ((largest_ >> shift) + 1);
}

void Pattern::fill(void* at, uint64_t n, size_t size) const {
  auto* bytes = static_cast<char*>(at);
  uint64_t word = mix(seed_ + n);
  size_t done = 0;
  for (; done + sizeof word <= size; done += sizeof word, word += kStep) {
    std::memcpy(bytes + done, &word, sizeof word);
  }
  if (done < size) std::memcpy(bytes + done, &word, size - done);
}

bool Pattern::matches(const void* at, uint64_t n, size_t size) const {
  const auto* bytes = static_cast<const char*>(at);
  uint64_t word = mix(seed_ + n);
  uint64_t wrong = 0;
  size_t done = 0;
  for (; done + sizeof word <= size; done += sizeof word, word += kStep) {
    uint64_t there;
    std::memcpy(&there, bytes + done, sizeof there);
    wrong |= there ^ word;
  }
  return wrong == 0 && (done == size || std::memcmp(bytes + done, &word, size - done) == 0);
}

// --------------------------------------------------------------------------------------- flow

void Inflow::take(const void* data, size_t size) {
  if (finished())
    fail("one message more than the %llu sent", static_cast<unsigned long long>(count_));
  const size_t wanted = pattern_.size(taken_);
  if (size != wanted || !pattern_.matches(data, taken_, size)) {
    fail("message %llu of %zu bytes: got %zu bytes%s", static_cast<unsigned long long>(taken_),
         wanted, size, size == wanted ? " of another content" : "");
  }
  if (reinterpret_cast<uintptr_t>(data) % 8 != 0) fail("a message that is not 8-byte aligned");
  ++taken_;
  bytes_ += size;
}

Outflow::Outflow(Socket& socket, Pattern pattern, uint64_t count, Lend lend, const Area* area,
                 size_t copy_max)
    : socket_(socket),
      pattern_(pattern),
      count_(count),
      lend_(lend),
      area_(area),
      copy_max_(copy_max),
      copied_(copy_max) {}

Lend Outflow::way_of(uint64_t n, size_t size) const {
  if (size == 0) return Lend::kCopy;  // nothing can be reserved for it
  if (lend_ != Lend::kMixed) return lend_;
  if (size <= copy_max_ && n % 3 == 0) return Lend::kCopy;
  return n % 2 == 0 ? Lend::kSent : Lend::kRelease;
}

// False: the area has no block for it now.
bool Outflow::prepare() {
  const size_t size = pattern_.size(sent_);
  if (way_of(sent_, size) == Lend::kCopy) {
    next_ = Message();
    if (size > copied_.size()) fail("%zu bytes are too many to copy", size);
    pattern_.fill(copied_.data(), sent_, size);
  } else {
    void* data;
    if (sio_reserve(area_->get(), &data, size) != 0) {
      if (errno == ENOBUFS) return false;
      fail("sio_reserve: %s", std::strerror(errno));
    }
    next_ = Message(data, size);
    pattern_.fill(data, sent_, size);
  }
  prepared_ = true;
  return true;
}

Outflow::Result Outflow::send_next() {
  if (!prepared_ && !prepare()) return Result::kNoMemory;
  const size_t size = pattern_.size(sent_);
  const Lend way = way_of(sent_, size);
  const void* data = way == Lend::kCopy ? copied_.data() : next_.data();
  const int flags = MSG_DONTWAIT | (way == Lend::kRelease ? SIO_RELEASE : 0);
  const int error = socket_.try_send(data, size, flags);
  if (error == EAGAIN) return Result::kNoRoom;
  prepared_ = false;
  if (error != 0) {
    error_ = error;
    next_ = Message();
    return Result::kNoRoom;
  }
  if (way == Lend::kSent) lent_.emplace(data, Message(next_.give_up(), size));
  next_.give_up();
  ++sent_;
  bytes_ += size;
  return Result::kQueued;
}

bool Outflow::pump(uint64_t most) {
  for (; most > 0 && !all_sent() && error_ == 0; --most) {
    const Result result = send_next();
    if (result == Result::kNoRoom) return true;
    if (result == Result::kQueued) continue;
    if (!lent_.empty()) return true;  // an EC_SENT comes and brings a block back
    socket_.flush();
  }
  return false;
}

void Outflow::outcome(const event_data_t& event) {
  const auto found = lent_.find(event.data.buf);
  if (found == lent_.end()) fail("EC_SENT of a buffer that was not lent, or twice");
  if (found->second.size() != event.data.len) fail("EC_SENT of another length");
  lent_.erase(found);  // ours again: released
}

void Outflow::sent(const event_data_t& event) {
  outcome(event);
  if (event.error != 0) fail("EC_SENT: %s", std::strerror(event.error));
}

// --------------------------------------------------------------------------------- both ways

namespace {

// True: there may be room again.
bool handle(const event_data_t& event, Outflow& out, Inflow& in, bool& ended) {
  switch (event.kind) {
    case EC_RECV:
      in.take(Message(event));
      return false;
    case EC_SENT:
      out.sent(event);
      return true;
    case EC_WRITABLE:
      return true;
    case EC_EOF:  // the other end is done, and may know so before our last EC_SENT has come
      ended = true;
      if (in.finished() && out.all_sent()) return false;
      [[fallthrough]];
    default:
      fail("%s (%s) while messages are exchanged", kind_name(event.kind),
           std::strerror(event.error));
  }
}

}  // namespace

bool exchange(const Channel& channel, Outflow& out, Inflow& in) {
  constexpr uint64_t kBurst = 16;  // then it is the other direction's turn
  bool stalled = false;
  bool ended = false;
  while (!out.finished() || !in.finished()) {
    if (!stalled) stalled = out.pump(kBurst);
    if (out.error() != 0) fail("sio_send: %s", std::strerror(out.error()));
    event_data_t events[64];
    const int n = ec_next_events(channel.get(), events, 64);
    for (int i = 0; i < n; ++i) stalled = !handle(events[i], out, in, ended) && stalled;
    const bool idle = stalled || out.all_sent();
    if (n < 0 && idle && !(out.finished() && in.finished())) {
      stalled = !handle(channel.next(), out, in, ended) && stalled;
    }
  }
  return ended;
}

// ---------------------------------------------------------------------------------- receiving

Way way_of(const std::string& name) {
  if (name == "deliver") return Way::kDeliver;
  if (name == "readable") return Way::kReadable;
  if (name == "blocking") return Way::kBlocking;
  if (name == "poll") return Way::kPoll;
  fail("no such way to receive: %s", name.c_str());
}

uint32_t events_of(Way way) {
  return way == Way::kDeliver ? EC_DELIVER : way == Way::kReadable ? uint32_t{EPOLLIN} : 0;
}

namespace {

// A gibibyte takes its time to come, with a sanitizer all the more.
constexpr milliseconds kLong = 8 * kSoon;

Message receive_delivered(const Channel& channel) {
  const event_data_t event = channel.next(kLong);
  if (event.kind == EC_EOF) return {};
  if (event.kind != EC_RECV) fail("%s: %s", kind_name(event.kind), std::strerror(event.error));
  return Message(event);
}

void await_readable(Way way, const Channel* channel, const Socket& socket) {
  if (way == Way::kPoll) {
    pollfd entry{socket.get(), POLLIN, 0};
    const int limit = static_cast<int>(kLong.count());
    if (must(poll(&entry, 1, limit), "poll") == 0) fail("the socket did not become readable");
    return;
  }
  const event_data_t event = channel->next(kLong);
  if (event.kind != EC_READABLE && event.kind != EC_EOF) {
    fail("%s: %s", kind_name(event.kind), std::strerror(event.error));
  }
}

}  // namespace

Message receive_one(Way way, const Channel* channel, Socket& socket) {
  if (way == Way::kDeliver) return receive_delivered(*channel);
  if (way == Way::kBlocking) return socket.receive();
  for (;;) {
    void* data = nullptr;
    const int size = sio_recv(socket.get(), &data, SIZE_MAX, MSG_DONTWAIT);
    if (size >= 0) return data == nullptr ? Message() : Message(data, static_cast<size_t>(size));
    if (errno != EAGAIN) fail("sio_recv: %s", std::strerror(errno));
    await_readable(way, channel, socket);
  }
}

void receive_all(Way way, const Channel* channel, Socket& socket, Inflow& in) {
  while (!in.finished()) {
    const Message message = receive_one(way, channel, socket);
    if (!message) return;
    in.take(message);
  }
}

void send_all_blocking(Socket& socket, Pattern pattern, uint64_t count, const Area* area) {
  std::vector<char> copy(kSlot);
  for (uint64_t n = 0; n < count; ++n) {
    const size_t size = pattern.size(n);
    if (area == nullptr || size == 0) {
      pattern.fill(copy.data(), n, size);
      must(sio_send(socket.get(), copy.data(), size, 0), "sio_send");
      continue;
    }
    Message block = Message::reserve(*area, size);
    pattern.fill(block.data(), n, size);
    must(sio_send(socket.get(), block.data(), size, SIO_RELEASE), "sio_send");
    block.give_up();
  }
}

}  // namespace sio::test
