// SPDX-License-Identifier: BSD-2-Clause
//
// All that a socket (socket.h) remembers. Used under its channel's lock.
#pragma once

#include <sio/sio.h>

#include <atomic>
#include <bit>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "control/control_thread.h"
#include "memory/area.h"
#include "memory/bulk_pool.h"
#include "memory/region.h"
#include "provider/provider.h"
#include "socket/backlog.h"
#include "socket/bulk_lane.h"
#include "socket/completion.h"
#include "socket/datagram.h"
#include "socket/link.h"
#include "socket/options.h"
#include "socket/outcomes.h"
#include "socket/receiver.h"
#include "socket/send_areas.h"
#include "socket/sender.h"
#include "socket/shared_receives.h"
#include "wire/hello.h"

namespace sio::internal {

// What a reused object does not forget: strangers ask for it at any time.
struct SocketPlace {
  std::atomic<Channel*> channel_{nullptr};
  std::atomic<uint64_t> generation_{0};  // of this use of the object
};

// Kept apart so that a socket is made anew with it: a reused object forgets everything.
struct SocketState {
  enum class Phase : uint8_t {
    kFresh,
    kListening,
    kResolving,
    kConnecting,
    kAccepting,
    kOpen,
    kEnding,
    kEnded
  };

  // One call of dma_assoc.
  struct Association {
    Area* area;
    bool receive;
    bool send;
  };

  // A frame that overtook the news that the connection stands.
  struct EarlyFrame {
    uint32_t slot;
    ibv_wc wc;
  };

  // What is not so mostly, on a connection that stands. What every message passes looks at all of
  // it at once.
  struct Rare {
    bool not_open : 1 = true;        // phase_ is not kOpen
    bool datagram : 1 = false;       // the socket is one
    bool connect_waits : 1 = false;  // EC_CONNECT is owed
    bool want_writable : 1 = false;  // sio_send said EAGAIN
    bool send_blocked : 1 = false;   // a call waits for room to send
    bool end_received : 1 = false;
    bool peer_gone : 1 = false;    // it has disconnected
    bool peer_broken : 1 = false;  // it broke the protocol: what follows is dropped
    bool read_shut : 1 = false;
    bool write_shut : 1 = false;
    bool closed : 1 = false;      // by the program: the descriptor is gone
    bool undelivered : 1 = true;  // no EC_DELIVER: messages wait for sio_recv
    uint16_t unused : 4 = 0;      // no bit is without a value

    bool any() const noexcept { return std::bit_cast<uint16_t>(*this) != 0; }
    bool any_for_sending() const noexcept {
      Rare rare = *this;
      rare.undelivered = false;
      return rare.any();
    }
  };

  struct Timer {
    ControlThread::Timer name{};
    uint32_t turn = 0;  // a task that was on its way when the timer was cancelled is of an old one
  };

  void set_phase(Phase phase) noexcept {
    phase_ = phase;
    rare_.not_open = phase != Phase::kOpen;
  }
  void set_deliver(bool on) noexcept {
    deliver_ = on;
    rare_.undelivered = !on;
  }

  // First what each message needs, in a few cache lines.
  int fd_ = -1;
  Rare rare_;
  Phase phase_ = Phase::kFresh;  // set_phase()
  bool deliver_ = false;         // EC_DELIVER; set_deliver()
  int type_ = SOCK_SEQPACKET;
  void* cookie_ = nullptr;
  uint64_t frames_seen_ = 0;  // received; the keepalive looks whether it moves
  // The connection, in the order in which it goes when the object is made anew.
  std::unique_ptr<Sender> sender_;
  std::unique_ptr<Receiver> receiver_;
  std::unique_ptr<BulkLane> lane_;      // once there are messages larger than a slot
  bool lane_failed_ = false;            // the peer wants one, and none could be made
  std::unique_ptr<Datagram> datagram_;  // an open datagram socket, instead of these
  Link link_;
  Outcomes outcomes_;
  std::unique_ptr<provider::Endpoint> endpoint_;
  SendAreas send_areas_;

  OwnFd placeholder_;  // the descriptor's number, when the channel is not hidden
  int waiting_ = 0;    // threads in blocking calls: where they look it must stay
  int domain_ = AF_UNSPEC;
  bool nonblock_ = false;
  bool bound_ = false;
  SocketOptions options_;

  // Memory.
  Area* receive_area_ = nullptr;            // of the association or own_area_
  size_t receive_size_ = 0;                 // as given to dma_assoc; 0: no association
  Region* region_ = nullptr;                // taken at dma_assoc, until the receiver has it
  std::unique_ptr<BulkPool> pool_;          // the same, for messages larger than a slot
  bool shares_ = false;                     // DMA_SHARED
  std::shared_ptr<SharedReceives> shared_;  // then, in place of these: once it is known where
  std::vector<Association> associated_;
  Area* own_area_ = nullptr;

  // Of the connection, besides.
  bool found_ = false;        // it can be looked up
  uint16_t shared_port_ = 0;  // that was asked for, and is another socket's
  wire::Hello peer_;
  std::vector<EarlyFrame> early_;
  int early_failure_ = 0;  // errno of what failed as early
  sockaddr_storage connect_to_{};
  sockaddr_storage peer_address_{};  // outlives the connection, as its messages do; of a datagram
                                     // socket that of the last message

  Backlog backlog_;  // listening

  // What is to be told.
  int so_error_ = 0;            // SO_ERROR
  int failure_ = 0;             // why the connection ended; 0: orderly, or it has not
  bool lost_messages_ = false;  // not all that was sent was acknowledged
  bool failure_told_ = false;   // to sio_send
  int connect_error_ = 0;
  // What sio_send said EAGAIN of.
  struct Wanted {
    size_t length = 0;
    uint32_t records = 1;  // that it needs
    bool copied = false;   // some of it
  };
  Wanted wanted_;
  uint32_t blocked_sends_ = 0;  // calls that wait for room
  bool readable_told_ = false;  // EC_READABLE was given and nothing has run dry since
  Completions receives_;        // those that wait for a message, before the program does
  bool end_told_ = false;
  bool hup_told_ = false;

  // Ends.
  bool tended_ = false;   // it goes on while the program makes no call
  bool closing_ = false;  // sio_close: what was sent is leaving
  bool await_disconnect_ = false;
  Timer limit_timer_;  // of the connect, then the linger, then the draining; when listening, the
                       // backlog's
  Timer keepalive_timer_;
  bool reconnectable_ = false;  // a connect that failed: fresh again when drained
  bool sends_drained_ = false;
  bool finishing_ = false;  // finish_close is on its way
  uint32_t drain_marker_ = 0;
  uint64_t frames_at_probe_ = 0;
};

}  // namespace sio::internal
