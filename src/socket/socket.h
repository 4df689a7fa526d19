// SPDX-License-Identifier: BSD-2-Clause
//
// A socket: fresh, listening, or one end of a connection.
//
// 1. A socket is in exactly one channel (its hidden one, if the program gave it none), and all of
//    it is used under that channel's lock. Socket objects are never freed (base/stable_pool.h).
// 2. Each operation that was queued has one outcome, told before EC_HUP; EC_HUP is the last event.
// 3. Teardown: the queue pair into the error state, all of its work requests flushed, then queue
//    pair (that of the bulk lane first), endpoint, receive memory. Each step is bounded by a timer.
//
//   kFresh      -> kListening | kResolving
//   kResolving  the way to the peer is looked for         -> kConnecting | kFresh (failed)
//   kConnecting asked the peer                            -> kOpen | kEnding
//   kAccepting  answered a peer, which has not said that it knows   -> kOpen | kEnding
//   kOpen       messages flow; closing_: what was sent is leaving   -> kEnding
//   kEnding     the queue pair is in the error state and is being drained -> kEnded | kFresh
//   kEnded      no queue pair any more; received messages can still be taken
//
//   A datagram socket is kFresh until it is bound, then kOpen; from there kFresh again for a moment
//   when the program moves it, and kEnding.
#pragma once

#include <sio/sio.h>

#include <atomic>
#include <memory>
#include <vector>

#include "base/deferred.h"
#include "base/static_probe.h"
#include "event/channel.h"
#include "socket/completion.h"
#include "socket/socket_state.h"
#include "wire/stats_page.h"

namespace sio::internal {

class SocketGuard;

class alignas(64) Socket final : public CompletionHandler,
                                 public EventSource,
                                 public HiddenOwner,
                                 private Deferred,
                                 private SocketPlace,
                                 private SocketState {
 public:
  // -- socket.cc: life and the locks.

  // Throws. The descriptor is close-on-exec.
  static int create(int domain, int type, bool nonblock);

  Channel* channel() const noexcept { return channel_.load(std::memory_order_acquire); }
  uint64_t generation() const noexcept {
    return generation_.load(std::memory_order_acquire);  // who sees the new one sees its state
  }
  int fd() const noexcept { return fd_; }
  bool nonblock() const noexcept { return nonblock_; }
  bool is_stream() const noexcept { return type_ == SOCK_STREAM; }
  int set_nonblock(int on) noexcept;
  int name(bool peer, sockaddr* address, socklen_t* length) const noexcept;
  // Who sent what is received here.
  void sender_name(sockaddr* address, socklen_t* length) const noexcept;

  // ec_add_fd and ec_del_fd on a socket, without any lock; ec_mod_fd under the channel's.
  static int move_to_channel(int fd, ec_t ec, uint32_t events, void* cookie);
  static int move_out(int fd, ec_t ec);
  static int set_cookie(int fd, Channel& in, uint32_t events, void* cookie);

  // -- socket_memory.cc
  int associate(Area& area, size_t size, unsigned flags);
  int dissociate(Area& area, size_t size) noexcept;

  // -- socket_options.cc
  int get_option(int level, int option, void* value, socklen_t* length);
  int set_option(int level, int option, const void* value, socklen_t length);

  // -- socket_figures.cc
  // What sio_stat shows; without any lock. `figures`: as they were last, which saves asking for
  // what can not have changed.
  enum class Reported { kReported, kUnused, kBusy };
  Reported report(stats::SocketFigures& figures) const;

  // -- socket_connect.cc. Blocking calls take the guard, which they let go of while they wait.
  int bind(const sockaddr* address);
  static int connect(SocketGuard& guard, const sockaddr* peer);

  // -- socket_listen.cc
  int listen(int backlog);
  struct AcceptOptions {
    bool nonblock = false;
    ec_t ec = -1;  // -1: the listener's channel, or a hidden one
    void* cookie = nullptr;
  };
  static int accept(int fd, const AcceptOptions& wish, sockaddr_storage& peer);

  // -- socket_send.cc, socket_receive.cc
  // The short way of a message that is copied, on a connection where there is nothing else to be
  // done (plain_send.h).
  template <typename Other>
  static int send_plain(int fd, const void* buf, size_t size, int flags, Other other) noexcept;
  // One that is not quite that; gives up the lock of the channel, in which the socket was last
  // seen. False: nothing was done.
  bool send_nearly_plain(Channel* channel, int fd, const void* buf, size_t size,
                         int flags) noexcept;
  // `completion` hears of the outcome in place of the program, if it is queued.
  static int send(SocketGuard& guard, const void* buf, size_t size, int flags,
                  Completion* completion = nullptr);
  static int send_pieces(SocketGuard& guard, std::span<const iovec> pieces, int flags,
                         Completion* completion = nullptr);
  static int flush(SocketGuard& guard, TimePoint deadline);
  // The short way of what comes alone while a program looks for an event (arrival.h).
  static bool complete_one_at_rest(CompletionHandler& handler, const ibv_wc& wc,
                                   event_data_t* place) noexcept;
  static int receive(SocketGuard& guard, void** buf, size_t size, int flags);
  // Fills in all of `message` but what msg_name points to if it is NULL.
  static int receive_pieces(SocketGuard& guard, msghdr& message, int flags);

  // -- socket_requests.cc
  // `completion` gets the next message that none before it gets. 0 or -errno.
  static int request_receive(SocketGuard& guard, Completion& completion) noexcept;
  // It gets none, if it still waits for one.
  bool withdraw(Completion& completion) noexcept;

  // -- socket_datagram_data.cc, socket_datagram_peers.cc
  // `to` not set: the connected peer.
  static int send_datagram(SocketGuard& guard, const InetAddress& to, std::span<const iovec> pieces,
                           int flags, Completion* completion);
  bool is_datagram() const noexcept { return type_ == SOCK_DGRAM; }
  int dissolve_datagram() noexcept;
  static int set_membership(SocketGuard& guard, int level, int option, const void* value,
                            socklen_t length);
  void lookup_timed_out(uint64_t serial) noexcept;

  // -- socket_close.cc
  int shutdown(int how) noexcept;
  static int close(int fd);

  // Events of the connection manager (dispatch.h); the lock is held.
  void on_connection_event(provider::ConnectionEvent& event);
  bool owns_endpoint(uint64_t serial) const noexcept;

  // CompletionHandler, EventSource, HiddenOwner.
  bool emit(EventRing& ring) noexcept override;
  void taken(const EventNote& note) noexcept override;
  void channel_closed() noexcept override;
  bool complete_at_rest(const ibv_wc& wc) noexcept override;
  void complete(wire::Work kind, uint32_t index, const ibv_wc& wc) noexcept override;
  void settle() noexcept override;
  void before_sleep() noexcept override;
  bool readable() const noexcept override;

 private:
  friend class SocketGuard;
  template <typename T>
  friend class StablePool;
  Socket() : CompletionHandler(true) {}

  // Asked under the channel's lock: while it is in a channel that is locked its number stays its
  // own.
  bool is_still(int fd, const Channel* in) const noexcept {
    return channel() == in && fd_ == fd && !rare_.closed;
  }
  bool is_open_at(int fd, const Channel* in) const noexcept;
  bool sends_plain(int fd, const Channel* in, const void* buf, int flags) const noexcept;
  // laden_send.cc. False: nothing was done.
  bool send_laden(Channel* in, int fd, const void* buf, size_t size, int flags) noexcept;
  int leave_after_posting(Channel* channel, bool posted) noexcept;

  int get_socket_option(int option, void* value, socklen_t* length) noexcept;
  int set_number(int option, int value);
  uint32_t readiness() const noexcept;
  // Without a channel no EC_CONNECT tells how a connect ended: the descriptor is readable until the
  // program has asked.
  void connect_is_known() noexcept;
  // In a channel whose ring was full. Another one would take its event.
  bool connect_end_is_untold() const noexcept {
    return rare_.connect_waits && !channel()->hidden();
  }
  sio_info info() const;
  void describe_port(sio_info& info) const;
  void describe_traffic(sio_info& info) const noexcept;
  bool knows_port(const stats::SocketFigures& figures) const noexcept;
  stats::State state() const noexcept;
  InetAddress peer_name() const noexcept;
  void report_directions(stats::SocketFigures& figures) const noexcept;

  static Socket* make(int domain, int type, bool nonblock, const SocketOptions& options);
  void enter(Channel& channel) noexcept;
  Channel* open_hidden();
  void enter_hidden(Channel& hidden) noexcept;
  static int leave_hidden(int fd, ec_t wish, Socket*& socket);
  bool busy() const noexcept {
    return phase_ != Phase::kFresh && phase_ != Phase::kEnded && phase_ != Phase::kListening;
  }

  void prepare_receive_memory(provider::Device& device);
  void share_receive_memory(Area& area, size_t bytes, provider::Device* device);
  BulkPool* pool() const noexcept { return shared_ != nullptr ? shared_->pool() : pool_.get(); }
  void release_memory() noexcept;
  void take_receive_memory(Area& area, size_t bytes);
  void give_up_region() noexcept;
  void give_up_own_area() noexcept;
  Area* sending_area(const void* p) const noexcept { return send_areas_.find(p); }
  // -errno, and a line of the log that says what is wrong.
  [[gnu::cold]] int too_large_to_copy(size_t size) const noexcept;
  [[gnu::cold]] int too_large_for_peer(size_t size) const noexcept;
  [[gnu::cold]] int too_small_to_receive(size_t size) const noexcept;

  void make_connection();
  void begin_link(provider::Device& device);
  void build_connection();
  void unmake_connection() noexcept;
  wire::SocketType wire_type() const noexcept;
  wire::Hello our_hello() const noexcept;
  wire::HelloFault read_hello(std::span<const std::byte> bytes, wire::Hello& hello) const noexcept;
  void open_sender() noexcept;
  void on_resolved();
  void on_established(const std::vector<std::byte>& data);
  void on_refused(const provider::ConnectionEvent& event);
  void on_disconnected() noexcept;
  void connected(int error) noexcept;
  int cause_of_failed_connect(int error) noexcept;
  void abandon_connect(int error) noexcept;
  void drop_early() noexcept;
  void start_timer(Timer& timer, milliseconds after, void (Socket::*then)());
  // False: there is no memory for it, and none runs.
  bool start_limit(milliseconds after, void (Socket::*then)()) noexcept;
  static void cancel(Timer& timer) noexcept;
  void connect_timed_out();
  void start_keepalive();
  void keepalive_due();

  void on_request(provider::ConnectionEvent& event);
  class Template;
  static int accept_next(SocketGuard guard, const AcceptOptions& wish, sockaddr_storage& peer);
  int start_accepted(Channel& in, int fd, Backlog::Pending& pending, sockaddr_storage& peer);
  static void wait_again(Socket* listener, uint64_t generation, Backlog::Queue first);
  void tell_again_later() noexcept;
  void tell_again() noexcept;
  void tell_again_in_time();

  // socket_datagram.cc
  // While this lasts an open datagram socket that has done nothing yet is kFresh.
  class Unopened {
   public:
    explicit Unopened(Socket& socket) noexcept : socket_(socket) { socket.unopen_datagram(); }
    ~Unopened() { socket_.reopen_datagram(); }
    Unopened(const Unopened&) = delete;
    Unopened& operator=(const Unopened&) = delete;

   private:
    Socket& socket_;
  };
  int bind_datagram(const InetAddress& wish, const InetAddress& towards);
  int bind_to_some_device(const InetAddress& wish, const InetAddress& towards);
  int try_bind_datagram(const InetAddress& wish);
  int ensure_datagram(const InetAddress& towards);
  int open_datagram();
  void build_datagram();
  void unmake_datagram() noexcept;
  void unopen_datagram() noexcept;
  void reopen_datagram() noexcept;
  uint32_t datagram_slots_in(size_t bytes) const noexcept;
  void take_datagram_memory(Area& area, size_t bytes);
  void prepare_datagram_memory();
  InetAddress datagram_name() const noexcept;
  // socket_datagram_peers.cc
  static int connect_datagram(SocketGuard& guard, const InetAddress& peer);
  void datagram_connected(int error) noexcept;
  void on_datagram_event(provider::ConnectionEvent& event) noexcept;
  void lookup_ended(const InetAddress& address) noexcept;
  void end_datagram(int error, int told_as) noexcept;
  void datagram_failed(const ibv_wc& wc, bool receive) noexcept;
  void renew_datagram();
  void start_closing_datagram();
  void advance_closing_datagram() noexcept;
  uint64_t largest_datagram() const noexcept;
  // socket_datagram_data.cc
  void complete_datagram(wire::Work kind, uint32_t index, const ibv_wc& wc) noexcept;
  void settle_datagram() noexcept;
  void repost_datagram() noexcept;
  void pump_waiting(int error = 0) noexcept;
  bool may_send_datagram(const InetAddress& to, const Wanted& wanted) const noexcept;
  int try_send_datagram(const InetAddress& to, const Gather& gather, const SendRecord* copied,
                        bool may_queue) noexcept;
  int datagram_address(const InetAddress& to, InetAddress& whole) const noexcept;
  static int flush_datagram(SocketGuard& guard, TimePoint deadline);
  int take_datagram(void** buf, size_t size, bool peek) noexcept;
  bool emit_datagram(EventRing& ring) noexcept;
  bool emit_datagrams(EventRing& ring) noexcept;

  // socket_bulk.cc
  int open_lane() noexcept;
  int send_bulk(const Gather& gather, bool more) noexcept;
  int send_bulk(const OutgoingMessage& message, bool more) noexcept;
  bool has_room_for(const Wanted& wanted) const noexcept;
  bool lane_frame(uint32_t slot, uint32_t length) noexcept;
  bool take_grants(uint32_t n) noexcept;
  void advance_bulk() noexcept;

  // Something must yet be sent, whether the program makes calls or not.
  bool holding() const noexcept {
    return sender_->holding() || (lane_ != nullptr && lane_->sender.holding());
  }
  uint64_t largest_message() const noexcept;
  bool all_sent() const noexcept {
    return sender_->idle() && (lane_ == nullptr || lane_->sender.idle());
  }
  // The peer sends no more, and all that it has sent has come.
  bool at_end() const noexcept {
    return rare_.end_received && (lane_ == nullptr || lane_->receiver.all_here());
  }
  // Before a connection is accepted or stands it is not known how much the peer takes.
  bool knows_peer() const noexcept { return phase_ == Phase::kOpen || phase_ == Phase::kAccepting; }
  int sendable(size_t size) const noexcept;
  template <typename Put, typename FindKeys>
  static int queue(SocketGuard& guard, const Wanted& wanted, int flags, Put put,
                   FindKeys find_keys);
  int add_piece(Gather& gather, const iovec& piece, int flags, size_t& elsewhere) const noexcept;
  uint32_t key_of(const Area& area) const noexcept;
  void find_keys(Gather& gather) const noexcept;
  int wait_for_room(SocketGuard& guard, const Wanted& wanted, int flags);
  void recall_buffers() noexcept;
  uint32_t credits() const noexcept { return sender_ != nullptr ? sender_->credits() : 0; }
  // The program is told when there is room for this.
  void begin_stall(const Wanted& wanted) noexcept {
    if (!rare_.want_writable) STATIC_PROBE(stall, fd_, wanted.length, credits());
    rare_.want_writable = true;
    wanted_ = wanted;
  }
  bool may_not_wait(int flags) const noexcept { return nonblock_ || (flags & MSG_DONTWAIT) != 0; }
  // A call waits for room: 0 or -errno. After -EBADF the socket is somebody else's, perhaps.
  template <typename Ready>
  int block(SocketGuard& guard, size_t length, Ready ready);
  // There was room, or the program is told that there is or never will be.
  void end_stall() noexcept {
    if (rare_.want_writable) STATIC_PROBE(stall_end, fd_, wanted_.length, credits());
    rare_.want_writable = false;
  }
  template <typename Message>
  int hand_to(Sender& sender, const Message& message, int flags);
  int refusal(size_t size) noexcept;
  int take_error() noexcept;
  static int send_unlent(SocketGuard& guard, const void* buf, size_t size, int flags);
  static int send_nothing(Completion* completion) noexcept;
  static int send_copied(SocketGuard& guard, const Gather& gather, int flags,
                         Completion& completion);
  int take_next(void** buf, size_t size, bool peek) noexcept;
  void serve_receives() noexcept;
  void abandon_receives(int error) noexcept;
  void after_sending() noexcept;
  void update_hold() noexcept;

  static bool is_arrival(const ibv_wc& wc) noexcept;
  bool may_arrive_at_rest() const noexcept;
  bool complete_send_at_rest(const ibv_wc& wc, event_data_t* place) noexcept;
  bool complete_nearly_at_rest(const ibv_wc& wc, event_data_t* place) noexcept;
  void received(uint32_t slot, const ibv_wc& wc) noexcept;
  bool takes_frames_now(uint32_t slot, const ibv_wc& wc) noexcept;
  bool accept_frame(uint32_t slot, const ibv_wc& wc) noexcept;
  bool accept_control(const wire::Immediate& imm) noexcept;
  void work_failed(const ibv_wc& wc, bool receive) noexcept;
  void note_failure(const ibv_wc& wc) noexcept;
  void completed_bulk(wire::Work kind, uint32_t index, const ibv_wc& wc) noexcept;
  void protocol_broken() noexcept;
  void repost(bool force) noexcept;
  void send_on(bool force) noexcept;
  // Who releases the last slot of a batch may hold another channel's lock (a buffer that was
  // forwarded): the slots are posted again when it holds none.
  static void note_returned(void* socket) noexcept { static_cast<Socket*>(socket)->note(); }
  void run() noexcept override;
  bool emit_connect(EventRing& ring) noexcept;
  bool emit_accepts(EventRing& ring) noexcept;
  bool emit_messages(EventRing& ring) noexcept;
  void take(const IncomingMessage& message) noexcept;
  void push_message(EventRing& ring, const IncomingMessage& message) noexcept;
  void describe(event_data_t& event, const IncomingMessage& message) noexcept;
  void describe(event_data_t& event, const SendRecord& outcome) const noexcept;
  bool may_deliver_at_once() const noexcept;
  bool is_told() const noexcept;
  bool emit_outcomes(EventRing& ring) noexcept;
  bool emit_ends(EventRing& ring) noexcept;
  event_data_t& push(EventRing& ring, uint32_t kind, int error, uint32_t slot = 0,
                     uint32_t offset = 0) noexcept;

  void tend() noexcept;
  void begin_ending(int error, bool disconnect) noexcept;
  void fails_with(int error) noexcept {
    failure_ = so_error_ = link_.info.error = error;
    STATIC_PROBE(error, fd_, error, link_.info.wc_status);
  }
  void ending_timed_out();
  bool drained() const noexcept;
  void end() noexcept;
  void tear_down() noexcept;
  void advance_close() noexcept;
  void linger_over();
  void start_closing();
  void stop_listening() noexcept;
  void listening_failed(int error) noexcept;
  int why_not_listening() const noexcept;
  void drop_events() noexcept;
  void finish_close() noexcept;
  void finish_close_later() noexcept;
  void fresh_again() noexcept;
  milliseconds linger_time() const noexcept;
};

// Part of what is called for each message.
[[gnu::always_inline]] inline event_data_t& Socket::push(EventRing& ring, uint32_t kind, int error,
                                                         uint32_t slot, uint32_t offset) noexcept {
  event_data_t& event = ring.push({this, kind, slot, offset});
  event = {};
  event.kind = kind;
  event.fd = fd_;
  event.error = error;
  event.cookie = cookie_;
  return event;
}

[[gnu::always_inline]] inline void Socket::describe(event_data_t& event,
                                                    const SendRecord& outcome) const noexcept {
  event = {};
  event.kind = EC_SENT;
  event.fd = fd_;
  event.error = outcome.error;
  event.cookie = cookie_;
  event.data.buf = const_cast<void*>(outcome.buf);
  event.data.len = outcome.len;
  event.data.mem = outcome.flight.area->handle();
}

// `message` is the program's from now on.
[[gnu::always_inline]] inline void Socket::push_message(EventRing& ring,
                                                        const IncomingMessage& message) noexcept {
  describe(ring.push({this, EC_RECV, message.slot, message.offset}), message);
}

// Its event.
[[gnu::always_inline]] inline void Socket::describe(event_data_t& event,
                                                    const IncomingMessage& message) noexcept {
  event.kind = EC_RECV;
  event.flags = 0;
  event.fd = fd_;
  event.error = 0;
  event.cookie = cookie_;
  event.pad[3] = event.pad[4] = 0;
  event.data.buf = message.data;
  event.data.len = message.length;
  event.data.mem = receiver_->memory();
}

}  // namespace sio::internal
