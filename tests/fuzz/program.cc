// SPDX-License-Identifier: BSD-2-Clause
#include "program.h"

#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "must.h"
#include "one_thread.h"
#include "peer.h"
#include "puppet_provider.h"

namespace sio::test {
namespace {

constexpr size_t kAreaBytes = 64 * 1024;
constexpr size_t kMostHeld = 24;
constexpr uint32_t kInline[] = {256, 0, 64, 256};
constexpr size_t kRing[] = {1024, 2, 8, 64};

sockaddr_in some_address() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(7);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int lowest_free_descriptor() {
  const int fd = dup(0);
  MUST(fd >= 0);
  ::close(fd);
  return fd;
}

}  // namespace

// ------------------------------------------------------------------------------- to and from being

Program::Program(Input& input)
    : input_(input),
      kind_(input.byte()),
      sizes_(input.byte()),
      more_(input.byte()),
      listens_((kind_ & 1) != 0),
      joined_((kind_ & 2) != 0),
      flags_(SOCK_SEQPACKET | ((kind_ & 16) != 0 ? 0 : SOCK_NONBLOCK)),
      first_free_(lowest_free_descriptor()) {
  puppet().max_inline = kInline[kind_ >> 5 & 3];
  puppet().flush_late = (kind_ & 128) != 0;
  MUST(dma_alloc(&area_, kAreaBytes, 0) == 0);
  if (joined_) {
    ring_.resize(kRing[sizes_ >> 6]);
    channel_ = ec_create_ring(0, ring_.data(), ring_.size());
    MUST(channel_ >= 0);
  }
  open();
}

void Program::set_number(int option, int value) const {
  MUST(sio_setsockopt(socket_, SOL_SIO, option, &value, sizeof value) == 0);
}

// A fresh socket; the first one of a program that listens is its listener, which never blocks.
void Program::open() {
  if (socket_ >= 0) return;
  const bool listener = listens_ && listener_ < 0;
  socket_ = sio_socket(AF_INET, flags_ | (listener ? SOCK_NONBLOCK : 0), 0);
  MUST(socket_ >= 0);
  set_number(SIO_SLOT_SIZE, 256 << (sizes_ >> 4 & 3));
  set_number(SIO_RECV_SLOTS, 2 + (sizes_ & 15));
  set_number(SIO_SEND_QUOTA, 4 + 4 * (more_ & 15));
  set_number(SIO_NODELAY, more_ >> 4 & 1);
  // Short, since a second costs the fuzzer as many ticks of the control thread as any other.
  set_number(SIO_KEEPALIVE_MS, 200);
  set_number(SIO_CONNECT_TIMEOUT, 400);
  const linger on_close{1, more_ >> 5 & 1};
  MUST(sio_setsockopt(socket_, SOL_SOCKET, SO_LINGER, &on_close, sizeof on_close) == 0);
  if (joined_) {
    MUST(ec_add_fd(channel_, socket_, (kind_ & 4) != 0 ? EC_DELIVER : EPOLLIN, this) == 0);
  }
  associate();
  over_ = hup_ = false;
  if (!listener) return;
  MUST(sio_listen(socket_, 2) == 0);
  listener_ = std::exchange(socket_, -1);
}

void Program::associate() {
  const size_t bytes = static_cast<size_t>((sizes_ & 15) + 6) * (256u << (sizes_ >> 4 & 3));
  if ((kind_ & 8) != 0) {
    const int result = dma_assoc(socket_, area_, bytes, 0);
    MUST(result == 0 || errno == ENOBUFS);
    if (result == 0) return;
  }
  MUST(dma_assoc(socket_, area_, 0, DMA_SEND) == 0);
}

void Program::close() {
  if (socket_ < 0) return;
  MUST(sio_close(std::exchange(socket_, -1)) == 0);
}

// The socket, or if there is none the listener.
void Program::close_one() {
  if (socket_ >= 0 || listener_ < 0) return close();
  MUST(sio_close(std::exchange(listener_, -1)) == 0);
}

void Program::end() {
  close_one();
  close_one();
  for (int i = 0; i < 12 && !settled(); ++i) pass_time(std::chrono::seconds(1));
  MUST(puppet().pairs.empty() && puppet().endpoints.empty());
  MUST(!joined_ || lent_.empty());
  MUST(!joined_ || held_.empty());
  for (const auto& [first, pieces] : lent_) MUST(release(pieces));
  for (Held& held : held_) MUST(try_release(held));
  add_up();
  MUST(dma_free(area_, kAreaBytes) == 0);
  if (joined_) MUST(ec_destroy(channel_) == 0);
  pass_time(std::chrono::seconds(1));
  MUST(puppet().nothing_left());
  MUST(control_work() == 0);
  MUST(lowest_free_descriptor() == first_free_);
}

// All that was closed has gone, and every outcome was told.
bool Program::settled() {
  run_control();
  for (size_t i = held_.size(); i-- > 0;) try_release(held_[i]);
  erase_released();
  if (joined_) take_events(UINT32_MAX);
  run_control();
  const bool told = !joined_ || (lent_.empty() && held_.empty());
  return told && puppet().pairs.empty() && puppet().endpoints.empty();
}

// ----------------------------------------------------------------------------------------- steps

void Program::act(uint32_t step) {
  switch (step) {
    case 0:
      return connect();
    case 1:
      return accept();
    case 2:
      return send_copy(MSG_DONTWAIT);
    case 3:
      return send_copy(0);
    case 4:
      return send_lent();
    case 5:
      return send_on();
    case 6:
      return receive();
    case 7:
      return release_one();
    case 8:
      return flush();
    case 9:
      return shut_down();
    case 10:
      return close_one();
    case 11:
      return open();
    case 12:
      return wait();
    case 13:
      return look();
    case 14:
      if (socket_ >= 0) set_number(SIO_NODELAY, input_.byte() & 1);
      return;
    default:
      return;  // a signal, if the program sleeps
  }
}

void Program::connect() {
  if (socket_ < 0) return;
  auto talk = std::make_shared<Talk>();
  puppet().talk = talk;
  const sockaddr_in peer = some_address();
  const auto* const address = reinterpret_cast<const sockaddr*>(&peer);
  const auto before = std::exchange(talk_, talk);
  if (sio_connect(socket_, address, sizeof peer) == 0) return;
  if (errno == EALREADY || errno == EISCONN) puppet().talk = talk_ = before;
}

// The accepted socket takes the place of the one before.
void Program::accept() {
  if (listener_ < 0) return;
  puppet().talk = std::make_shared<Talk>();
  const int accepted = sio_accept4(listener_, nullptr, nullptr, flags_ & SOCK_NONBLOCK);
  const auto talk = std::exchange(puppet().talk, talk_);
  if (accepted < 0) return;
  close();
  socket_ = accepted;
  puppet().talk = talk_ = talk;
  over_ = hup_ = false;
}

void Program::flush() {
  if (socket_ < 0) return;
  const uint32_t how = input_.below(4);
  timespec time{0, how == 0 ? 0 : 3'000'000};
  sio_flush(socket_, how == 3 ? nullptr : &time);
}

void Program::shut_down() {
  const int how = static_cast<int>(input_.below(3));
  if (socket_ >= 0) sio_shutdown(socket_, how);
}

void Program::wait() {
  timespec time{0, 2'000'000};
  if (joined_) ec_delay(channel_, &time);
}

void Program::look() const {
  add_up();
  sio_info info{};
  socklen_t size = sizeof info;
  if (socket_ < 0 || sio_getsockopt(socket_, SOL_SIO, SIO_INFO, &info, &size) != 0) return;
  MUST(info.credits <= info.peer_recv_slots);
  MUST(info.sends_in_flight <= 4u + 4 * (more_ & 15) + 8);
  uint32_t ready = 0;
  size = sizeof ready;
  MUST(sio_getsockopt(socket_, SOL_SIO, SIO_READY, &ready, &size) == 0);
}

void Program::add_up() const {
  struct dma_stat stat {};
  MUST(::dma_stat(area_, &stat) == 0);
  MUST(stat.free + stat.reserved + stat.received + stat.posted + stat.in_flight == stat.size);
  MUST(stat.largest_free <= stat.free);
}

// --------------------------------------------------------------------------------------- sending

// The message is on the wire before sio_send returns, perhaps; so it is expected from here on.
bool Program::send(const void* data, size_t size, int flags) {
  std::deque<std::string>& outgoing = talk_->outgoing;
  outgoing.emplace_back(static_cast<const char*>(data), size);
  if (sio_send(socket_, data, size, flags) == 0) return true;
  outgoing.pop_back();
  return false;
}

// Several pieces are one message.
bool Program::send(std::vector<iovec> pieces, int flags) {
  std::deque<std::string>& outgoing = talk_->outgoing;
  std::string& whole = outgoing.emplace_back();
  for (const iovec& piece : pieces) {
    whole.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  if (sio_sendmsg(socket_, &message, sizeof message, flags) == 0) return true;
  outgoing.pop_back();
  return false;
}

bool Program::release(const std::vector<iovec>& pieces) const {
  return std::all_of(pieces.begin(), pieces.end(), [this](const iovec& piece) {
    return sio_release(area_, piece.iov_base, piece.iov_len) == 0;
  });
}

void Program::send_copy(int flags) {
  const uint32_t word = input_.word();
  const size_t size = word % 1200;
  if (socket_ < 0) return;
  const std::string text(size, static_cast<char>(++pattern_));
  send(text.data(), size, flags | (word >= 60'000 ? MSG_MORE : 0));
}

// One block; or two with something from elsewhere between them.
void Program::send_lent() {
  const uint32_t word = input_.word();
  const int flags = MSG_DONTWAIT | ((word & 0x8000) != 0 ? SIO_RELEASE : 0);
  const bool gathers = (word & 0x4000) != 0;
  std::vector<iovec> blocks;
  for (size_t size = 1 + word % 2500; blocks.size() < (gathers ? 2 : 1); size = 1 + size / 3) {
    void* block;
    if (socket_ < 0 || sio_reserve(area_, &block, size) != 0) break;
    std::memset(block, ++pattern_, size);
    blocks.push_back({block, size});
  }
  if (blocks.empty()) return;
  bool sent;
  if (blocks.size() == 1) {
    sent = send(blocks[0].iov_base, blocks[0].iov_len, flags);
  } else if ((flags & SIO_RELEASE) != 0) {
    sent = send(blocks, flags);
  } else {
    std::string between(word % 64, static_cast<char>(++pattern_));
    sent = send({blocks[0], {between.data(), between.size()}, blocks[1]}, flags);
  }
  if (!sent) {
    MUST(release(blocks));  // still ours
  } else if ((flags & SIO_RELEASE) == 0) {
    MUST(lent_.emplace(blocks[0].iov_base, blocks).second);
  }
}

// A message that was received, if the socket takes it as lent: not one of another's own area.
void Program::send_on() {
  const uint32_t which = input_.byte();
  if (socket_ < 0 || held_.empty()) return;
  Held& held = held_[(which & 127) % held_.size()];
  if (held.released || (held.talk != talk_ && !in_area(held.message.at))) return;
  const int flags = which >= 128 ? SIO_RELEASE : 0;
  if (!send(held.message.at, held.message.bytes.size(), MSG_DONTWAIT | flags)) return;
  held.released = flags != 0;
  if (!held.released && joined_) ++held.flights;
  erase_released();
}

bool Program::in_area(const char* p) const {
  struct dma_stat stat {};
  MUST(::dma_stat(area_, &stat) == 0);
  const char* const base = static_cast<const char*>(stat.base);
  return p >= base && p < base + stat.size;
}

// ------------------------------------------------------------------------------------- receiving

void Program::receive() {
  const uint32_t how = input_.byte();
  const unsigned most = 1 + (how & 15);
  if (joined_) return take_events(most);
  if (socket_ >= 0) take_messages(most, (how & 16) != 0 ? 0 : MSG_DONTWAIT);
}

void Program::take_events(unsigned most) {
  event_data_t event;
  while (most-- > 0 && held_.size() < kMostHeld && ec_next_event(channel_, &event) == 0)
    take(event);
}

void Program::take(const event_data_t& event) {
  MUST(event.cookie == this);
  if (event.kind == EC_SENT) return take_outcome(event);
  MUST(event.fd == socket_ || event.fd == listener_);
  if (event.fd == listener_) return;
  MUST(!hup_);  // nothing follows
  hup_ = event.kind == EC_HUP;
  if (event.kind == EC_RECV) {
    MUST(!over_);
    received(event.data.buf, event.data.len);
  }
  over_ |= event.kind == EC_EOF || event.kind == EC_HUP;
  if (event.kind == EC_READABLE) take_messages(UINT32_MAX, MSG_DONTWAIT);
}

void Program::take_outcome(const event_data_t& event) {
  if (const auto found = lent_.find(event.data.buf); found != lent_.end()) {
    MUST(found->second.front().iov_len == event.data.len);
    MUST(release(found->second));
    lent_.erase(found);
    return;
  }
  const auto held = std::find_if(held_.begin(), held_.end(), [&](const Held& one) {
    return one.message.at == event.data.buf && one.flights > 0;
  });
  MUST(held != held_.end());  // an outcome of nothing, or one too many
  --held->flights;
  erase_released();
}

void Program::take_messages(unsigned most, int flags) {
  void* data;
  int n;
  while (most-- > 0 && held_.size() < kMostHeld && socket_ >= 0 &&
         (n = sio_recv(socket_, &data, SIZE_MAX, flags)) >= 0) {
    if (data == nullptr) return;
    received(data, static_cast<size_t>(n));
  }
}

void Program::received(void* data, size_t size) {
  std::deque<Incoming>& expected = talk_->incoming;
  MUST(!expected.empty());
  MUST(expected.front().at == data && expected.front().bytes.size() == size);
  held_.push_back({std::move(expected.front()), talk_});
  expected.pop_front();
  MUST(std::memcmp(data, held_.back().message.bytes.data(), size) == 0);
}

void Program::release_one() {
  const uint32_t which = input_.byte();
  if (which >= 128 && !joined_ && !lent_.empty()) {
    // All of it, or nothing yet.
    const std::vector<iovec> pieces = lent_.begin()->second;
    if (sio_release(nullptr, pieces[0].iov_base, pieces[0].iov_len) != 0) return;
    MUST(release({pieces.begin() + 1, pieces.end()}));
    lent_.erase(pieces[0].iov_base);
  } else if (!held_.empty()) {
    try_release(held_[which % held_.size()]);
    erase_released();
  }
}

// Refused only while it is in flight. Until then it stays as it came.
bool Program::try_release(Held& held) {
  if (held.released) return true;
  const auto& [at, bytes] = held.message;
  MUST(std::memcmp(at, bytes.data(), bytes.size()) == 0);
  held.released = sio_release(nullptr, const_cast<char*>(at), bytes.size()) == 0;
  MUST(held.released || errno == EINVAL);
  return held.released;
}

// Those whose outcomes are all told.
void Program::erase_released() {
  std::erase_if(held_, [](const Held& held) { return held.released && held.flights == 0; });
}

}  // namespace sio::test
