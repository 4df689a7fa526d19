// SPDX-License-Identifier: BSD-2-Clause
#include "program.h"

#include <netinet/in.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "must.h"
#include "one_thread.h"
#include "peer.h"
#include "puppet_provider.h"

namespace sio::test {
namespace {

constexpr size_t kAreaBytes = 64 * 1024;
constexpr size_t kHugeAreaBytes = 8 * 1024 * 1024;
constexpr size_t kMoreThanSlots[] = {0, 4096, 24 * 1024, 64 * 1024};
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

// Of messages that go in several pieces; faulted in once.
void* huge_memory() {
  static void* const memory = mmap(nullptr, kHugeAreaBytes, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  MUST(memory != MAP_FAILED);
  return memory;
}

}  // namespace

// ------------------------------------------------------------------------------- to and from being

Program::Program(Input& input)
    : input_(input),
      kind_(input.byte()),
      sizes_(input.byte()),
      more_(input.byte()),
      type_(input.byte()),
      listens_((kind_ & 1) != 0),
      joined_((kind_ & 2) != 0),
      stream_((type_ & 1) != 0),
      huge_((type_ & 0x70) == 0x70),
      area_bytes_(huge_ ? kHugeAreaBytes : kAreaBytes + kMoreThanSlots[type_ >> 4 & 3]),
      flags_((stream_ ? SOCK_STREAM : SOCK_SEQPACKET) | ((kind_ & 16) != 0 ? 0 : SOCK_NONBLOCK)),
      first_free_(lowest_free_descriptor()) {
  puppet().max_inline = kInline[kind_ >> 5 & 3];
  puppet().flush_late = (kind_ & 128) != 0;
  puppet().stream = stream_;
  puppet().lane_is_missing = (type_ & 12) == 8;
  puppet().lane_is_cut = (type_ & 12) == 12;
  if (huge_) {
    MUST(dma_import(&area_, huge_memory(), area_bytes_, 0) == 0);
  } else {
    MUST(dma_alloc(&area_, area_bytes_, 0) == 0);
  }
  if (joined_) {
    ring_.resize(kRing[sizes_ >> 6]);
    channel_ = ec_create_ring(0, ring_.data(), ring_.size());
    MUST(channel_ >= 0);
  }
  if (joined_ && (type_ & 128) == 0) notices_ = channel_;
  if (!joined_ && (type_ & 128) == 0) MUST((notices_ = ec_create(0)) >= 0);
  open();
}

void Program::set_number(int option, int value) const {
  MUST(sio_setsockopt(now_->socket, SOL_SIO, option, &value, sizeof value) == 0);
}

// A fresh socket; the first one of a program that listens is its listener, which never blocks.
void Program::open() {
  if (now_->socket >= 0) return;
  const bool listener = listens_ && listener_ < 0;
  now_->socket = sio_socket(AF_INET, flags_ | (listener ? SOCK_NONBLOCK : 0), 0);
  MUST(now_->socket >= 0);
  set_number(SIO_SLOT_SIZE, 256 << (sizes_ >> 4 & 3));
  set_number(SIO_RECV_SLOTS, 2 + (sizes_ & 15));
  puppet().quota = 4 + 4 * (more_ & 15u);
  set_number(SIO_SEND_QUOTA, static_cast<int>(puppet().quota));
  set_number(SIO_NODELAY, more_ >> 4 & 1);
  // Short, since a second costs the fuzzer as many ticks of the control thread as any other.
  set_number(SIO_KEEPALIVE_MS, 200);
  set_number(SIO_CONNECT_TIMEOUT, 400);
  const linger on_close{1, more_ >> 5 & 1};
  MUST(sio_setsockopt(now_->socket, SOL_SOCKET, SO_LINGER, &on_close, sizeof on_close) == 0);
  if (joined_) {
    MUST(ec_add_fd(channel_, now_->socket, (kind_ & 4) != 0 ? EC_DELIVER : EPOLLIN, this) == 0);
  }
  associate();
  if (!listener) return;
  MUST(sio_listen(now_->socket, 2) == 0);
  listener_ = std::exchange(now_->socket, -1);
}

std::shared_ptr<Talk> Program::new_talk() const {
  auto talk = std::make_shared<Talk>();
  talk->stream = stream_;
  return talk;
}

void Program::associate() {
  // What is beyond 4 slots more than those for data is for messages larger than a slot.
  size_t bytes = static_cast<size_t>((sizes_ & 15) + 6) * (256u << (sizes_ >> 4 & 3));
  bytes += huge_ ? kHugeAreaBytes / 2 : kMoreThanSlots[type_ >> 4 & 3];
  if ((kind_ & 8) != 0) {
    const int result = dma_assoc(now_->socket, area_, bytes, (type_ & 2) != 0 ? DMA_SHARED : 0);
    MUST(result == 0 || errno == ENOBUFS);
    if (result == 0) return;
  }
  MUST(dma_assoc(now_->socket, area_, 0, DMA_SEND) == 0);
}

void Program::close() {
  if (now_->socket < 0) return;
  MUST(sio_close(std::exchange(now_->socket, -1)) == 0);
  *now_ = {};
}

// The socket, or if there is none the listener.
void Program::close_one() {
  if (now_->socket >= 0 || listener_ < 0) return close();
  MUST(sio_close(std::exchange(listener_, -1)) == 0);
}

void Program::end() {
  for (Connection& one : connections_) {
    now_ = &one;
    close();
  }
  close_one();
  for (int i = 0; i < 12 && !settled(); ++i) pass_time(std::chrono::seconds(1));
  MUST(puppet().pairs.empty() && puppet().endpoints.empty());
  MUST(requests_.empty());
  MUST(!joined_ || lent_.empty());
  MUST(!joined_ || held_.empty());
  for (const auto& [first, lent] : lent_) MUST(release(lent.pieces));
  for (Held& held : held_) MUST(try_release(held));
  add_up();
  struct dma_stat stat {};
  MUST(::dma_stat(area_, &stat) == 0 && stat.free == stat.size);
  MUST(dma_free(area_, area_bytes_) == 0);
  if (joined_) MUST(ec_destroy(channel_) == 0);
  if (notices_ >= 0 && !joined_) MUST(ec_destroy(notices_) == 0);
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
  take_ends();
  run_control();
  const bool told = !joined_ || (lent_.empty() && held_.empty());
  return told && requests_.empty() && puppet().pairs.empty() && puppet().endpoints.empty();
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
      if (now_->socket >= 0) set_number(SIO_NODELAY, input_.byte() & 1);
      return;
    case 16:
      return send_large();
    case 17:
      return receive_some();
    case 18:
      return receive_pieces();
    case 19:
      return release_some();
    case 20:
      now_ = &connections_[input_.byte() % connections_.size()];
      return;
    case 21:
    case 22:
    case 23:
      return;
    case 15:
      return;  // a signal, if the program sleeps
    default:
      return act_on_requests(step - 24);
  }
}

void Program::connect() {
  if (now_->socket < 0) return;
  const auto talk = new_talk();
  puppet().talk = talk;
  const sockaddr_in peer = some_address();
  const auto* const address = reinterpret_cast<const sockaddr*>(&peer);
  const auto before = std::exchange(now_->talk, talk);
  if (sio_connect(now_->socket, address, sizeof peer) == 0) return;
  if (errno == EALREADY || errno == EISCONN) now_->talk = before;
}

// The accepted socket takes the place of the one before.
void Program::accept() {
  if (listener_ < 0) return;
  const auto talk = new_talk();
  puppet().talk = talk;
  const int accepted = sio_accept4(listener_, nullptr, nullptr, flags_ & SOCK_NONBLOCK);
  if (accepted < 0) return;
  close();
  now_->socket = accepted;
  now_->talk = talk;
}

void Program::flush() {
  if (now_->socket < 0) return;
  const uint32_t how = input_.below(4);
  timespec time{0, how == 0 ? 0 : 3'000'000};
  const std::shared_ptr<Talk> talk = now_->talk;
  if (sio_flush(now_->socket, how == 3 ? nullptr : &time) == 0) MUST(talk->outgoing.empty());
}

void Program::shut_down() {
  const int how = static_cast<int>(input_.below(3));
  if (now_->socket < 0 || sio_shutdown(now_->socket, how) != 0) return;
  now_->read_shut |= how != SHUT_WR;
}

void Program::wait() {
  timespec time{0, 2'000'000};
  if (joined_) ec_delay(channel_, &time);
}

void Program::look() const {
  add_up();
  sio_info info{};
  socklen_t size = sizeof info;
  if (now_->socket < 0 || sio_getsockopt(now_->socket, SOL_SIO, SIO_INFO, &info, &size) != 0)
    return;
  MUST(info.credits <= info.peer_recv_slots);
  MUST(info.sends_in_flight <= 4u + 4 * (more_ & 15) + 8);
  uint32_t ready = 0;
  size = sizeof ready;
  MUST(sio_getsockopt(now_->socket, SOL_SIO, SIO_READY, &ready, &size) == 0);
}

void Program::add_up() const {
  struct dma_stat stat {};
  MUST(::dma_stat(area_, &stat) == 0);
  MUST(stat.free + stat.reserved + stat.received + stat.posted + stat.in_flight == stat.size);
  MUST(stat.largest_free <= stat.free);
}

}  // namespace sio::test
