// SPDX-License-Identifier: BSD-2-Clause
//
// How connections and sockets end. All of it is bounded: by SO_LINGER as long as what was sent
// is leaving, by kDrainLimit once the queue pair is in the error state.
#include "base/log.h"
#include "control/control_thread.h"
#include "event/descriptor_table.h"
#include "socket/dispatch.h"
#include "socket/socket_guard.h"
#include "socket/socket_pool.h"

namespace sio::internal {
namespace {

constexpr milliseconds kDefaultLinger{2000};

// What a device or a connection manager says besides, of a request that it does not take or does
// not know, is told as what it is: a fault of theirs.
int told_as(int error) noexcept {
  switch (error) {
    case 0:
    case ECONNRESET:
    case ETIMEDOUT:
    case EPROTO:
    case ENODEV:
    case ECONNABORTED:
      return error;
    default:
      return EIO;
  }
}

}  // namespace

// ------------------------------------------------------------------------- of a connection

int Socket::shutdown(int how) noexcept {
  if (is_datagram()) return -EOPNOTSUPP;
  if (phase_ != Phase::kOpen && phase_ != Phase::kAccepting) return -ENOTCONN;
  if ((how == SHUT_RD || how == SHUT_RDWR) && !rare_.read_shut) {
    rare_.read_shut = true;
    tend();
    receiver_->drop_all();
    repost(true);
    send_on(true);  // the peer may be waiting for these credits
    serve_receives();
  }
  if ((how == SHUT_WR || how == SHUT_RDWR) && !rare_.write_shut) {
    rare_.write_shut = true;
    sender_->end();
    sender_->pump(true);
    after_sending();
  }
  channel()->changed();
  return 0;
}

void Socket::tend() noexcept {
  if (!std::exchange(tended_, true)) channel()->tend(true);
}

// The queue pair into the error state; end() follows when it is drained. error 0: in order.
void Socket::begin_ending(int error, bool disconnect) noexcept {
  if (phase_ == Phase::kEnding || phase_ == Phase::kEnded || phase_ == Phase::kFresh) return;
  if (datagram_ != nullptr) return end_datagram(error, told_as(error));
  set_phase(Phase::kEnding);
  drop_early();
  if (error != 0) {
    LOG_INFO("QP %u: the connection ends: %s", link_.queue_pair->number(), errno_text(error));
    fails_with(reconnectable_ ? error : told_as(error));
  }
  // Tells the peer, and fails the queue pair too.
  const bool told = disconnect && endpoint_->disconnect() == 0;
  await_disconnect_ = told && closing_ && error == 0 && !rare_.peer_gone;
  link_.queue_pair->fail();
  if (lane_ != nullptr) lane_->fail();
  drain_marker_ = sender_->mark_end();
  if (sender_->post_error() != 0) sends_drained_ = true;
  update_hold();
  channel()->changed();
  if (!start_limit(kDrainLimit, &Socket::ending_timed_out)) end();
}

bool Socket::drained() const noexcept {
  if (datagram_ != nullptr) return datagram_->receiver.posted() == 0 && datagram_->sender.idle();
  return (sends_drained_ || sender_->nothing_posted()) && receiver_->receives().drained() &&
         (lane_ == nullptr || lane_->drained()) && (!await_disconnect_ || rare_.peer_gone);
}

void Socket::ending_timed_out() {
  if (phase_ != Phase::kEnding) return;
  channel()->take_all();
  if (phase_ != Phase::kEnding) return;
  if (!drained()) LOG_DEBUG("a queue pair was not drained in time");
  end();
}

// Nothing of the connection is under way any more.
void Socket::end() noexcept {
  set_phase(Phase::kEnded);
  cancel(limit_timer_);
  cancel(keepalive_timer_);
  if (sender_ != nullptr) {
    lost_messages_ = !sender_->all_acknowledged() || (lane_ != nullptr && !lane_->sender.idle());
    const int error = failure_ != 0 ? failure_ : ECONNABORTED;
    sender_->fail(error);
    if (lane_ != nullptr) lane_->sender.fail(error);
  }
  if (datagram_ != nullptr) {
    pump_waiting(failure_ != 0 ? failure_ : ECONNABORTED);
    datagram_->sender.fail(failure_ != 0 ? failure_ : ECONNABORTED);
    datagram_->stop();
  }
  tear_down();
  if (lane_ != nullptr) lane_->receiver.end();
  if (std::exchange(tended_, false)) channel()->tend(false);
  if (reconnectable_ && !rare_.closed) fresh_again();
  serve_receives();
  channel()->changed();
  channel()->offer(this);
  if (rare_.closed) finish_close_later();
}

// The verbs objects, in their order. Sender and receiver stay, for what they still have to tell.
void Socket::tear_down() noexcept {
  if (lane_ != nullptr) lane_->tear_down();
  link_.queue_pair.reset();
  if (receiver_ != nullptr) receiver_->receives().end();
  if (link_.seat) link_.hub->leave(link_.seat);
  if (phase_ == Phase::kEnded && endpoint_ != nullptr) {
    dispatch_to_nobody(endpoint_->serial());
    endpoint_.reset();
  }
}

// A connect that failed leaves the socket as it was before.
void Socket::fresh_again() noexcept {
  reconnectable_ = false;
  unmake_connection();
  if (own_area_ != nullptr) {
    send_areas_.remove(*own_area_);
    receive_area_ = nullptr;
    give_up_own_area();
  }
  failure_ = early_failure_ = 0;
  bound_ = sends_drained_ = false;
  rare_.peer_gone = false;
  end_stall();
  set_phase(Phase::kFresh);
  connected(connect_error_);
}

// ------------------------------------------------------------------------------- of a socket

milliseconds Socket::linger_time() const noexcept {
  if (options_.on_close.l_onoff == 0) return kDefaultLinger;
  return std::chrono::seconds(options_.on_close.l_linger);
}

// Events that nobody is to see any more; but each message that lent its buffer is told of.
void Socket::drop_events() noexcept {
  channel()->ring().drop(this, [this](const EventNote& note) {
    if (note.kind == EC_RECV && datagram_ != nullptr) {
      datagram_->receiver.take_back(note.slot);
    } else if (note.kind == EC_RECV) {
      receiver_->take_back(note.slot, note.offset);
    }
    return note.kind != EC_SENT;
  });
  if (receiver_ != nullptr) receiver_->drop_all();
  if (datagram_ != nullptr) datagram_->receiver.drop_all();
}

int Socket::close(int fd) {
  SocketGuard guard = SocketGuard::of(fd);
  if (!guard) return -EBADF;
  Socket& socket = *guard;
  Channel& channel = *guard.channel();
  const bool hidden = channel.hidden();
  DescriptorTable::instance().clear(fd);
  socket.rare_.closed = true;
  socket.placeholder_.reset();
  channel.linger();
  channel.changed();
  socket.abandon_receives(ECANCELED);
  socket.drop_events();
  socket.start_closing();
  if (!hidden) return 0;
  // The timers bound this; a signal does not make it shorter.
  const uint64_t generation = socket.generation();
  int result;
  do {
    result = channel.wait(guard.channel().lock(), WaitFor::kState, kNever,
                          [&] { return socket.generation() != generation; });
  } while (result == -EINTR);
  return 0;
}

void Socket::start_closing() {
  switch (phase_) {
    case Phase::kListening:
      stop_listening();
      [[fallthrough]];
    case Phase::kFresh:
    case Phase::kResolving:
      set_phase(Phase::kEnded);
      cancel(limit_timer_);
      tear_down();
      [[fallthrough]];
    case Phase::kEnded:
      return finish_close_later();
    case Phase::kConnecting:
      return begin_ending(ECONNABORTED, true);
    case Phase::kAccepting:
    case Phase::kOpen:
      if (datagram_ != nullptr) return start_closing_datagram();
      if (linger_time() == milliseconds(0)) return begin_ending(ECONNABORTED, true);
      closing_ = rare_.write_shut = true;
      if (!start_limit(linger_time(), &Socket::linger_over)) return begin_ending(ENOMEM, true);
      sender_->end();
      sender_->pump(true);
      after_sending();
      return advance_close();
    case Phase::kEnding:
      return;  // end() goes on
  }
}

// All that was sent is acknowledged, the end too: now the connection may go.
void Socket::advance_close() noexcept {
  if (phase_ != Phase::kOpen && phase_ != Phase::kAccepting) return;
  if (!holding()) sender_->fence();  // credits may have left behind the end
  if (all_sent()) begin_ending(0, true);
}

void Socket::linger_over() {
  if (phase_ != Phase::kOpen && phase_ != Phase::kAccepting) return;
  channel()->take_all();
  if (phase_ != Phase::kOpen && phase_ != Phase::kAccepting) return;
  LOG_WARN("closed with messages that the peer had no room for: they are lost");
  begin_ending(ETIMEDOUT, true);
}

// Not at once: this may be called from within the channel's own work.
void Socket::finish_close_later() noexcept {
  if (finishing_) return;
  if (!outcomes_.all_taken() && !channel()->closed()) return;  // the program has them to take
  finishing_ = true;
  try {
    ControlThread::instance().post([socket = this, generation = generation()] {
      SocketGuard guard = SocketGuard::of(socket, generation);
      if (guard) guard->finish_close();
    });
  } catch (const std::exception& error) {
    LOG_ERROR("a closed socket ends in the program's thread: %s", error.what());
    note();
  }
}

void Socket::finish_close() noexcept {
  Channel& in = *channel();
  in.forget(this);
  sender_.reset();
  lane_.reset();
  datagram_.reset();
  outcomes_.drop();
  receiver_.reset();
  release_memory();
  endpoint_.reset();
  generation_.fetch_add(1, std::memory_order_release);  // timers and tasks find nobody
  channel_.store(nullptr, std::memory_order_release);
  in.lingered();
  in.changed();
  if (in.hidden()) in.close();
  socket_pool().give_back(this);
}

}  // namespace sio::internal
