// SPDX-License-Identifier: BSD-2-Clause
//
// What an open datagram socket has in place of a connection. Used under the channel's lock. How it
// is used is in socket_datagram.cc (its life), socket_datagram_peers.cc and socket_datagram_data.cc
// (messages).
#pragma once

#include <deque>

#include "socket/datagram_groups.h"
#include "socket/datagram_peers.h"
#include "socket/datagram_receiver.h"
#include "socket/datagram_sender.h"

namespace sio::internal {

struct Datagram {
  // Messages that wait for their address to be found.
  static constexpr size_t kMostWaiting = 64;
  struct Waiting {
    InetAddress to;
    OutgoingDatagram message;
  };

  Datagram(Socket& socket, Link& of, Outcomes& outcomes, uint32_t most_peers)
      : link(of),
        receiver(of, groups, most_peers),
        peers(socket, of, receiver, most_peers),
        sender(of, outcomes) {}
  ~Datagram() { stop(); }
  Datagram(const Datagram&) = delete;
  Datagram& operator=(const Datagram&) = delete;

  // All completions are to wake: who sends may leave out to ask for that, and fill all slots.
  void start() noexcept {
    link.hub->posted();
    started = true;
  }
  // No queue pair any more, and no questions.
  void stop() noexcept {
    if (!std::exchange(started, false)) return;
    groups.clear();
    peers.close();
    link.hub->completed();
  }

  Link& link;
  bool started = false;
  bool failing = false;  // the queue pair has failed, is drained, and a new one takes its place
  TimePoint renewed{};   // when it last did
  provider::QueueSizes sizes;
  uint32_t mtu = 0;         // bytes, of payload
  InetAddress name;         // as the program has it
  InetAddress source;       // what datagrams say that they come from
  InetAddress peer;         // of sio_connect
  bool connecting = false;  // its address is being looked up
  InetAddress wanted;       // where sio_send had no room to
  int lost_error = 0;       // why a copied message that had waited was lost, for sio_flush
  DatagramGroups groups;
  DatagramReceiver receiver;
  DatagramPeers peers;
  DatagramSender sender;
  std::deque<Waiting> waiting;

  bool connected() const noexcept { return peer.is_set() && !connecting; }
  // What fits into a datagram to this address.
  uint32_t most_to(const InetAddress& to) const noexcept {
    return to.is_group() ? mtu - wire::kGroupTrailer : mtu;
  }
  bool all_left() const noexcept { return waiting.empty() && sender.idle(); }
};

}  // namespace sio::internal
