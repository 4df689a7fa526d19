// SPDX-License-Identifier: BSD-2-Clause
//
// How a connection comes to stand, at the end that connects; and what watches over it: the time
// limit and the keepalive.
#include <netinet/in.h>

#include <cstring>

#include "base/error.h"
#include "base/heap.h"
#include "base/log.h"
#include "socket/channel_memory.h"
#include "socket/dispatch.h"
#include "socket/socket_guard.h"

namespace sio::internal {
namespace {

using provider::ConnectionEvent;

// Of the heap, with what librdmacm and libibverbs take of it (15 KiB, as the settings are).
constexpr size_t kBytesOfConnection = size_t{16} * 1024;

// An address that answers nobody is told as such, before the whole time is over: neighbours are
// asked three times, a second apart.
int resolve_time(int connect_timeout_ms) noexcept {
  return std::max(1, std::min(3500, connect_timeout_ms / 4 * 3));
}

int errno_of_refusal(const std::vector<std::byte>& data, int otherwise) noexcept {
  wire::Refusal reason;
  if (!wire::decode_refusal(data, reason)) return otherwise;
  switch (reason) {
    case wire::Refusal::kVersion:
      return EPROTONOSUPPORT;
    case wire::Refusal::kType:
    case wire::Refusal::kLimits:
    case wire::Refusal::kForeign:
      return EPROTO;
    default:
      return ECONNREFUSED;
  }
}

}  // namespace

int Socket::bind(const sockaddr* address) {
  if (address->sa_family != domain_) return -EAFNOSUPPORT;
  if (is_datagram() && bound_) return -EINVAL;
  if (phase_ != Phase::kFresh) return -EISCONN;
  if (bound_) return -EINVAL;
  if (is_datagram()) return bind_datagram(InetAddress(address), {});
  start_dispatch();
  auto endpoint = provider::instance().connections().create_endpoint();
  if (const int error = endpoint->bind(address, options_.reuse_address)) {
    return error == -ENODEV ? -EADDRNOTAVAIL : error;  // an address that no RDMA device has
  }
  endpoint_ = std::move(endpoint);
  bound_ = true;
  return 0;
}

int Socket::connect(SocketGuard& guard, const sockaddr* peer) {
  Socket& socket = *guard;
  if (peer->sa_family != socket.domain_) return -EAFNOSUPPORT;
  if (socket.is_datagram()) return connect_datagram(guard, InetAddress(peer));
  switch (socket.phase_) {
    case Phase::kFresh:
      if (socket.connect_end_is_untold()) return -EALREADY;
      break;
    case Phase::kListening:
      return -EOPNOTSUPP;
    case Phase::kResolving:
    case Phase::kConnecting:
      return -EALREADY;
    default:
      return -EISCONN;
  }
  start_dispatch();
  if (!socket.endpoint_) socket.endpoint_ = provider::instance().connections().create_endpoint();
  const uint64_t serial = socket.endpoint_->serial();
  dispatch_to(serial, &socket);
  const int timeout = static_cast<int>(socket.options_.connect_timeout_ms);
  // First, since this may fail.
  socket.start_timer(socket.limit_timer_, milliseconds(timeout), &Socket::connect_timed_out);
  if (const int error = socket.endpoint_->resolve(peer, resolve_time(timeout))) {
    cancel(socket.limit_timer_);
    dispatch_to_nobody(serial);
    socket.endpoint_.reset();
    socket.bound_ = false;  // as after any failure
    return error;
  }
  socket.set_phase(Phase::kResolving);
  socket.so_error_ = socket.connect_error_ = 0;
  if (socket.nonblock_) {
    socket.rare_.connect_waits = true;
    return -EINPROGRESS;
  }
  const int result = guard.wait(kNever, [&] {
    return socket.phase_ != Phase::kResolving && socket.phase_ != Phase::kConnecting &&
           !socket.reconnectable_;
  });
  if (result == -EINTR) socket.rare_.connect_waits = true;
  if (result != 0) return result;
  socket.so_error_ = 0;
  return -socket.connect_error_;
}

// What the parts of a connection, or of a datagram socket, have in common.
void Socket::begin_link(provider::Device& device) {
  Channel& in = *channel();
  link_.device = &device;
  link_.fd = fd_;
  link_.hub = &in.hub();
  link_.staging = &ChannelMemory::of(in).staging(device);
}

// The queue pair, its receives posted; or nothing.
void Socket::make_connection() {
  expect_allocations(kBytesOfConnection);
  try {
    build_connection();
  } catch (...) {
    unmake_connection();
    throw;
  }
}

void Socket::build_connection() {
  provider::Device* device = endpoint_->device();
  if (device == nullptr) throw_errno(ENODEV, "a device that is not used here");
  prepare_receive_memory(*device);
  provider::QueueSizes sizes;
  sizes.send_wr = std::min(Sender::queue_size(options_.send_quota), device->limits().max_qp_wr);
  sizes.send_sge = std::min(kMaxGather, device->limits().max_sge);
  sizes.inline_bytes = kInlineWish;
  begin_link(*device);
  std::unique_ptr<Receives> receives;
  if (shared_ != nullptr) {
    sizes.shared_recv = &shared_->queue();
    receives = shared_->share(link_, *this);
    link_.seat = shared_->join(sizes.send_wr, this);
  } else {
    sizes.recv_wr = region_->slots();
    receives = std::make_unique<OwnReceives>(link_, *region_, note_returned, this);
    region_ = nullptr;  // the receives' now; the pool stays the socket's
    link_.seat = link_.hub->join(*device, sizes.send_wr + sizes.recv_wr, this);
  }
  receiver_ = std::make_unique<Receiver>(link_, std::move(receives), is_stream());
  link_.queue_pair = endpoint_->create_queue_pair(*link_.seat.queue, sizes);
  link_.info.slot_size = receiver_->region()->slot_size();
  link_.info.recv_slots = receiver_->receives().credits().most;
  outcomes_.prepare(!channel()->hidden());
  sender_ = std::make_unique<Sender>(link_, outcomes_);
  sender_->prepare(options_.send_quota, is_stream());
  if (const int error = receiver_->receives().begin()) throw_errno(-error, "posting receives");
}

// What build_connection() made, as far as it came. Its own area stays, for another try.
void Socket::unmake_connection() noexcept {
  tear_down();
  lane_.reset();
  lane_failed_ = false;
  sender_.reset();
  receiver_.reset();
  if (region_ == nullptr) pool_.reset();  // they are taken together
  link_ = Link{};
}

wire::SocketType Socket::wire_type() const noexcept {
  return is_stream() ? wire::SocketType::kStream : wire::SocketType::kSeqpacket;
}

// That of the other end, which has to be of our type.
wire::HelloFault Socket::read_hello(std::span<const std::byte> bytes,
                                    wire::Hello& hello) const noexcept {
  const wire::HelloFault fault = wire::decode_hello(bytes, hello);
  if (fault != wire::HelloFault::kNone) return fault;
  if (hello.type != wire_type()) return wire::HelloFault::kType;
  hello.max_message =
      is_stream() ? wire::kMaxMessage : std::min(hello.max_message, wire::kMaxMessage);
  return fault;
}

wire::Hello Socket::our_hello() const noexcept {
  wire::Hello hello;
  hello.type = wire_type();
  hello.features = phase_ == Phase::kAccepting ? peer_.features & wire::kFeatures : wire::kFeatures;
  hello.slot_size = link_.info.slot_size;
  const Receives::Credits& credits = receiver_->receives().credits();
  hello.slots = credits.first;
  hello.more_slots = credits.most - credits.first;
  hello.max_message = largest_message();
  return hello;
}

void Socket::open_sender() noexcept {
  Sender::Limits limits;
  limits.peer_slot_size = peer_.slot_size;
  limits.peer_slots = peer_.slots;
  limits.most_credits = peer_.slots + peer_.more_slots;
  limits.quota = options_.send_quota;
  // As long as all of a window may be posted; what is not signalled is less than the quota, too.
  limits.window = std::min(settings().send_window, options_.send_quota / 2);
  limits.copy_max = options_.copy_max;
  link_.may_recall = (peer_.features & wire::kRecalls) != 0;
  sender_->open(limits);
  peer_address_ = endpoint_->peer_address();
  link_.info.peer_slot_size = peer_.slot_size;
  link_.info.peer_recv_slots = peer_.slots + peer_.more_slots;
}

// ---------------------------------------------------------------------------------- events

bool Socket::owns_endpoint(uint64_t serial) const noexcept {
  if (endpoint_ != nullptr && endpoint_->serial() == serial) return true;
  if (datagram_ != nullptr) {
    return datagram_->peers.owns(serial) || datagram_->groups.owns(serial);
  }
  return backlog_.holds(serial);
}

void Socket::on_connection_event(ConnectionEvent& event) {
  channel()->changed();
  if (datagram_ != nullptr) return on_datagram_event(event);
  if (endpoint_ == nullptr || endpoint_->serial() != event.endpoint) {
    backlog_.forget(event.endpoint);  // one that waits for sio_accept has given up
    dispatch_to_nobody(event.endpoint);
    return;
  }
  switch (event.kind) {
    case ConnectionEvent::Kind::kResolved:
      return on_resolved();
    case ConnectionEvent::Kind::kRequest:
      return on_request(event);
    case ConnectionEvent::Kind::kEstablished:
      return on_established(event.data);
    case ConnectionEvent::Kind::kRefused:
      return on_refused(event);
    case ConnectionEvent::Kind::kDisconnected:
      return on_disconnected();
    case ConnectionEvent::Kind::kFailed:
    case ConnectionEvent::Kind::kDeviceGone:
      if (phase_ == Phase::kResolving || phase_ == Phase::kConnecting) {
        return abandon_connect(cause_of_failed_connect(event.error));
      }
      if (phase_ == Phase::kListening) return listening_failed(event.error);
      return begin_ending(event.error, false);
  }
}

// What the peer sent before we knew that it had accepted may have broken the connection.
int Socket::cause_of_failed_connect(int error) noexcept {
  if (error != ECONNRESET) return error;
  channel()->progress();
  return early_failure_ != 0 ? early_failure_ : error;
}

void Socket::on_resolved() {
  if (phase_ != Phase::kResolving) return;
  try {
    make_connection();
  } catch (const std::system_error& error) {
    LOG_ERROR("connecting: %s", error.what());
    return abandon_connect(error.code().value());
  } catch (const std::bad_alloc&) {
    return abandon_connect(ENOMEM);
  }
  set_phase(Phase::kConnecting);
  if (const int error = endpoint_->connect(wire::encode_hello(our_hello()))) {
    abandon_connect(-error);
  }
}

void Socket::on_established(const std::vector<std::byte>& data) {
  if (phase_ == Phase::kConnecting) {
    const wire::HelloFault fault = read_hello(data, peer_);
    if (fault == wire::HelloFault::kVersion) return abandon_connect(EPROTONOSUPPORT);
    if (fault != wire::HelloFault::kNone) return abandon_connect(EPROTO);
    connected(0);
  } else if (phase_ != Phase::kAccepting) {
    return;
  } else if (!closing_) {
    cancel(limit_timer_);
  }
  set_phase(Phase::kOpen);
  open_sender();
  link_.info.peer_qp_num = link_.queue_pair->peer_number();
  LOG_DEBUG("QP %u is connected to QP %u on %s: our slots %u of %u bytes, the peer's %u of %u",
            link_.queue_pair->number(), link_.info.peer_qp_num, link_.device->name().c_str(),
            link_.info.recv_slots, link_.info.slot_size, link_.info.peer_recv_slots,
            peer_.slot_size);
  start_keepalive();
  for (const EarlyFrame& early : std::exchange(early_, {})) received(early.slot, early.wc);
  if (early_failure_ != 0) begin_ending(early_failure_, true);
  settle();
}

void Socket::on_refused(const ConnectionEvent& event) {
  if (phase_ == Phase::kConnecting || phase_ == Phase::kResolving) {
    const int error = errno_of_refusal(event.data, event.error);
    if (error == ECONNREFUSED) {
      LOG_INFO("refused; this end is on the provider %s, and the other has to be, too",
               provider::instance().name());
    }
    return abandon_connect(error);
  }
  // A peer that dies before it has heard that the connection stands takes back what it said.
  on_disconnected();
}

void Socket::on_disconnected() noexcept {
  rare_.peer_gone = true;
  if (phase_ == Phase::kConnecting) return abandon_connect(ECONNREFUSED);
  if (phase_ == Phase::kEnding) {
    if (drained()) end();
    return;
  }
  if (phase_ != Phase::kOpen && phase_ != Phase::kAccepting) return;
  // What the peer sent before it went is in the queue by now: take it first.
  channel()->take_all();
  if (phase_ != Phase::kOpen && phase_ != Phase::kAccepting) return;
  // What was copied and not signalled owes nobody an outcome; a peer that ended in order took it
  // or did not want it.
  // Somebody who waits for room must hear that none will come.
  const bool orderly = at_end() && !holding() && !sender_->owes_outcomes() &&
                       !rare_.want_writable && !rare_.send_blocked;
  begin_ending(orderly ? 0 : ECONNRESET, true);
}

// The result of sio_connect, to whoever waits for it.
void Socket::connected(int error) noexcept {
  cancel(limit_timer_);
  connect_error_ = so_error_ = error;
  channel()->changed();
  if (rare_.connect_waits) channel()->offer(this);
}

// A connect that failed: once the queue pair is gone the socket is fresh again.
void Socket::abandon_connect(int error) noexcept {
  reconnectable_ = true;
  const bool has_queue_pair = link_.queue_pair != nullptr;
  connect_error_ = error;
  if (has_queue_pair) {
    begin_ending(error, false);
  } else {
    STATIC_PROBE(error, fd_, error, link_.info.wc_status);
    set_phase(Phase::kEnding);
    end();
  }
}

// What came before the connection stood, which it now never will.
void Socket::drop_early() noexcept {
  for (const EarlyFrame& early : early_) receiver_->discard(early.slot);
  early_.clear();
}

void Socket::start_timer(Timer& timer, milliseconds after, void (Socket::*then)()) {
  cancel(timer);
  const auto due = [=, this, &timer, generation = generation(), turn = timer.turn] {
    SocketGuard guard = SocketGuard::of(this, generation);
    if (guard && timer.turn == turn) (this->*then)();
  };
  timer.name = ControlThread::instance().at(Clock::now() + after, due);
}

bool Socket::start_limit(milliseconds after, void (Socket::*then)()) noexcept {
  try {
    start_timer(limit_timer_, after, then);
    return true;
  } catch (const std::bad_alloc&) {
    LOG_ERROR("no memory for a timer: what it would end ends now");
    return false;
  }
}

void Socket::cancel(Timer& timer) noexcept {
  ++timer.turn;
  ControlThread::instance().cancel(timer.name);
}

void Socket::connect_timed_out() {
  if (phase_ == Phase::kResolving || phase_ == Phase::kConnecting) abandon_connect(ETIMEDOUT);
  if (phase_ == Phase::kAccepting) begin_ending(ETIMEDOUT, true);
}

// -------------------------------------------------------------------------------- keepalive

void Socket::start_keepalive() {
  cancel(keepalive_timer_);
  if (options_.keepalive_ms == 0) return;
  frames_at_probe_ = frames_seen_;
  try {
    start_timer(keepalive_timer_, milliseconds(options_.keepalive_ms), &Socket::keepalive_due);
  } catch (const std::bad_alloc&) {
    LOG_ERROR("no memory for a timer: a connection is not kept alive");
  }
}

// Silence for a whole period: a probe. It wakes whoever sleeps on the channel, whether it is
// acknowledged or fails.
void Socket::keepalive_due() {
  if (phase_ != Phase::kOpen) return;
  channel()->progress();
  if (phase_ != Phase::kOpen) return;
  if (frames_seen_ == frames_at_probe_) {
    ++link_.info.keepalives;
    sender_->fence_or_probe();
    after_sending();
  }
  if (phase_ == Phase::kOpen) start_keepalive();
}

}  // namespace sio::internal
