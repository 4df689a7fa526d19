// SPDX-License-Identifier: BSD-2-Clause
//
// Datagram sockets: messages to and from any address, that may be lost and are counted.
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sio/aio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "conformance/counters.h"
#include "conformance/datagrams.h"
#include "conformance/fixtures.h"
#include "conformance/peer.h"

namespace sio::test {
namespace {

Socket make_bound(int flags = 0) {
  Socket socket = make_datagram_socket(flags);
  socket.bind(Address::self());
  return socket;
}

Address nobody_at(int port) { return {"192.0.2.77", static_cast<uint16_t>(port)}; }

void end(Peer& peer, const Socket& socket) {
  insist(peer, "ended", [&] { send_to(socket, peer.address(), "end"); });
  peer.finish();
}

// ------------------------------------------------------------------------- with a peer elsewhere

using WireDatagrams = WireTest;

TEST_F(WireDatagrams, GoToAndFro) {
  for (const char* way : {"deliver", "blocking"}) {
    Peer peer(std::string("datagram-echo way=") + way);
    const Socket socket = make_datagram_socket();
    for (int i = 0; i < 100; ++i) {
      const std::string text = "ping " + std::to_string(i);
      send_to(socket, peer.address(), text);
      const Received back = receive_from(socket);
      EXPECT_EQ(back.message.view(), text);
      EXPECT_EQ(back.from, peer.address());
    }
    const sio_info info = socket.info();
    EXPECT_EQ(info.messages_sent, 100u);
    EXPECT_EQ(info.messages_received, 100u);
    EXPECT_EQ(info.datagrams_lost + info.datagrams_late + info.datagrams_odd, 0u);
    EXPECT_EQ(info.lookups, 1u);
    end(peer, socket);
  }
}

TEST_F(WireDatagrams, OfEverySizeComeBackAsTheyWere) {
  Peer peer("datagram-echo");
  const Area area(size_t{1} << 16);
  Socket socket = make_datagram_socket();
  socket.associate(area, DMA_SEND).connect(peer.address());
  const auto most = socket.get_option<uint64_t>(SIO_MAX_MESSAGE);
  ASSERT_GE(most, 256u);
  EXPECT_EQ(most, socket.info().mtu);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{7}, size_t{255}, size_t{257}, most - 1,
                            static_cast<size_t>(most)}) {
    SCOPED_TRACE(size);
    const Message block = Message::reserve(area, std::max(size, size_t{1}));
    for (size_t i = 0; i < size; ++i) block.data()[i] = static_cast<char>(i * 7 + size);
    ASSERT_EQ(socket.try_send(block.data(), size), 0);
    const Message back = socket.receive();
    ASSERT_TRUE(back);
    EXPECT_EQ(back.view(), std::string_view(block.data(), size));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(back.data()) % 8, 0u);
    socket.flush();
  }
  const Message block = Message::reserve(area, most + 1);
  EXPECT_EQ(socket.try_send(block.data(), most + 1), EMSGSIZE);
  insist(peer, "ended", [&] { socket.send("end"); });
  peer.finish();
}

TEST_F(WireDatagrams, AreDeliveredWithTheirSender) {
  Peer peer("datagram-echo");
  const Channel channel;
  Socket socket = make_datagram_socket();
  int cookie = 0;
  socket.join(channel, EC_DELIVER, &cookie).bind(Address::self());
  send_to(socket, peer.address(), "delivered");
  const event_data_t event = channel.expect(EC_RECV);
  const Message message(event);
  EXPECT_EQ(message.view(), "delivered");
  EXPECT_EQ(event.fd, socket.get());
  EXPECT_EQ(event.cookie, &cookie);
  EXPECT_EQ(event.data.mem, socket.get_option<dma_mem_t>(SIO_AREA));
  ASSERT_NE(event.data.from, nullptr);
  EXPECT_EQ(Address(event.data.from), peer.address());
  const auto* const from = reinterpret_cast<const char*>(event.data.from);
  EXPECT_LT(from, message.data());
  EXPECT_GE(from, message.data() - 64) << "not in the slot";
  end(peer, socket);
}

TEST_F(WireDatagrams, AreReadableInAChannel) {
  Peer peer("datagram-echo");
  const Channel channel;
  Socket socket = make_datagram_socket();
  socket.join(channel, EPOLLIN).bind(Address::self());
  for (int i = 0; i < 3; ++i) {
    send_to(socket, peer.address(), "readable");
    EXPECT_EQ(channel.expect(EC_READABLE).fd, socket.get());
    EXPECT_EQ(receive_from(socket).message.view(), "readable");
    EXPECT_FALSE(try_receive_from(socket));
  }
  end(peer, socket);
}

TEST_F(WireDatagrams, MakeTheDescriptorReadable) {
  Peer peer("datagram-echo");
  const Socket socket = make_bound();
  pollfd entry{socket.get(), POLLIN, 0};
  while (!try_receive_from(socket) && poll(&entry, 1, 0) != 0) {
  }
  send_to(socket, peer.address(), "poll");
  std::optional<Received> received;
  const bool came = eventually([&] {
    poll(&entry, 1, static_cast<int>(kSoon.count()));
    return (received = try_receive_from(socket)).has_value();
  });
  ASSERT_TRUE(came);
  EXPECT_EQ(received->message.view(), "poll");
  end(peer, socket);
}

TEST_F(WireDatagrams, AreSentFromWhereTheyLie) {
  Peer peer("datagram-echo");
  const Area area(size_t{1} << 16);
  const Channel channel;
  Socket socket = make_datagram_socket();
  socket.join(channel).associate(area, DMA_SEND).bind(Address::self());
  Message block = Message::reserve(area, 1000);
  std::memset(block.data(), 'l', 1000);
  must(socket.send_to(peer.address().storage(), block.bytes()), "sio_sendto");
  bool sent = false;
  bool back = false;
  while (!sent || !back) {
    const event_data_t event = channel.next();
    if (event.kind == EC_SENT) {
      EXPECT_EQ(event.error, 0);
      EXPECT_EQ(event.data.buf, block.data());
      EXPECT_EQ(event.data.len, 1000u);
      sent = true;
    } else {
      ASSERT_EQ(event.kind, uint32_t{EC_RECV});
      EXPECT_EQ(Message(event).view(), block.view());
      back = true;
    }
  }
  // With SIO_RELEASE nothing is told; the area gets it back.
  send_to(socket, peer.address(), block.view(), SIO_RELEASE);
  block.give_up();
  EXPECT_EQ(Message(channel.expect(EC_RECV)).size(), 1000u);
  EXPECT_TRUE(eventually([&] { return accounts(area.get()).free == area.bytes(); }));
  end(peer, socket);
}

TEST_F(WireDatagrams, AreGatheredFromPieces) {
  Peer peer("datagram-echo");
  const Area area(size_t{1} << 16);
  Socket socket = make_datagram_socket();
  socket.associate(area, DMA_SEND).bind(Address::self());
  const Message first = Message::reserve(area, 700);
  const Message second = Message::reserve(area, 64);
  std::memset(first.data(), '1', first.size());
  std::memset(second.data(), '2', second.size());
  char between[] = "between";
  const std::vector<iovec> pieces = {
      {first.data(), 300}, {between, 7}, {second.data(), 64}, {first.data(), 0}};
  must(socket.send_to(peer.address().storage(), pieces, MSG_MORE), "sio_sendmsg");
  const Received back = receive_from(socket);
  EXPECT_EQ(back.message.view(), std::string(300, '1') + "between" + std::string(64, '2'));
  socket.flush();
  end(peer, socket);
}

TEST_F(WireDatagrams, WhatFindsNoReceiveIsLostAndCounted) {
  constexpr int kSlots = 8;
  constexpr uint64_t kSent = 500;  // more than the soft provider's kernel keeps
  Peer peer("datagram-slow slots=" + std::to_string(kSlots));
  const Socket socket = make_datagram_socket();
  for (uint64_t i = 0; i < kSent; ++i) send_to(socket, peer.address(), "too many");
  must(socket.try_flush(kSoon), "sio_flush");
  peer.say("drain");
  const uint64_t taken = std::stoull(split_words(peer.expect("taken")).at(0));
  EXPECT_GE(taken, uint64_t{kSlots});
  // The soft provider's kernel keeps some, too.
  EXPECT_TRUE(on_soft() || taken == kSlots) << taken;
  // That some are missing at the end shows by the next one that comes.
  peer.say("last");
  uint64_t last = 0;
  const auto words = split_words(insist(peer, "taken", [&] {
    send_to(socket, peer.address(), "last");
    ++last;
  }));
  const uint64_t lost = std::stoull(words.at(1));
  EXPECT_EQ(std::stoull(words.at(0)), taken + 1);
  EXPECT_GT(lost, 0u);
  EXPECT_GE(taken + lost, kSent);
  EXPECT_LE(taken + lost, kSent + last - 1);
  EXPECT_EQ(words.at(2), "0");
  peer.close_input();
  peer.finish();
}

TEST_F(WireDatagrams, ConnectedOnesTakeThePeersAlone) {
  Peer peer("datagram-echo");
  Peer other("datagram-echo");
  Socket socket = make_bound();
  socket.connect(peer.address());
  EXPECT_EQ(socket.peer_name(), peer.address());
  Peer stranger("datagram-source count=5" + to(socket));
  stranger.expect("sent");
  socket.send("to the peer");
  EXPECT_EQ(socket.receive().view(), "to the peer");
  EXPECT_TRUE(eventually([&] {
    try_receive_from(socket);
    return socket.info().datagrams_unwanted == 5;
  }));
  // Undone, anybody's are taken, and addresses too.
  const Address nobody;
  socket.connect(nobody);
  EXPECT_EQ(socket.try_send("x", 1), EDESTADDRREQ);
  send_to(socket, other.address(), "other");
  EXPECT_EQ(receive_from(socket).from, other.address());
  socket.connect(other.address());  // and to another
  socket.send("again");
  EXPECT_EQ(socket.receive().view(), "again");
  stranger.close_input();
  stranger.finish();
  insist(other, "ended", [&] { socket.send("end"); });
  other.finish();
  socket.connect(nobody);
  end(peer, socket);
}

TEST_F(WireDatagrams, WithoutWaitingLeaveWhenTheAddressIsFound) {
  Peer peer("datagram-echo");
  const Channel channel;
  Socket socket = make_datagram_socket(SOCK_NONBLOCK);
  socket.join(channel).bind(Address::self());
  for (int i = 0; i < 5; ++i) send_to(socket, peer.address(), "number " + std::to_string(i));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Message(channel.expect(EC_RECV)).view(), "number " + std::to_string(i));
  }
  end(peer, socket);
}

TEST_F(WireDatagrams, OfAPeerThatWasHeardTakeNoLookup) {
  const Socket socket = make_bound();
  Peer source("datagram-source" + to(socket));
  const Received received = receive_from(socket);
  source.expect("sent");
  send_to(socket, received.from, "answer");
  must(socket.try_flush(kSoon), "sio_flush");
  EXPECT_EQ(socket.info().lookups, 0u);
  source.close_input();
  source.finish();
}

TEST_F(WireDatagrams, RubbishIsDroppedAndCounted) {
  const Channel channel;
  Socket socket = make_datagram_socket();
  socket.join(channel).set(SIO_RECV_SLOTS, 16).bind(Address::self());
  Peer hostile("raw-datagrams" + to(socket));
  hostile.expect("sent");
  Peer peer("datagram-echo");
  // Most of it may have found no slot; none of it is seen, and the slots come back.
  for (int i = 0; i < 50; ++i) {
    send_to(socket, peer.address(), "still well");
    EXPECT_EQ(Message(channel.expect(EC_RECV)).view(), "still well");
  }
  EXPECT_GT(socket.info().datagrams_odd, 0u);
  EXPECT_LE(socket.info().datagrams_odd, 203u);
  hostile.close_input();
  hostile.finish();
  end(peer, socket);
}

TEST_F(WireDatagrams, RubbishDoesNotLeaveASleeperWithoutSlots) {
  const Channel channel;
  Socket socket = make_datagram_socket();
  socket.join(channel).set(SIO_RECV_SLOTS, 4).bind(Address::self());
  const Address name = socket.name();  // asking for it is a call
  channel.descriptor();
  EXPECT_FALSE(channel.try_next(milliseconds(20)));
  Peer hostile("raw-datagrams" + to(name));
  hostile.expect("sent");
  Peer source("datagram-source" + to(name));
  // Nobody has called meanwhile: the slots are full of what nobody was told of, and the datagram
  // may be lost for that. The next one is not.
  source.expect("sent");
  while (channel.try_next(milliseconds(20))) {
  }
  Peer again("datagram-source" + to(name));
  const Message message(channel.expect(EC_RECV));
  EXPECT_EQ(message.size(), 16u);
  for (Peer* one : {&hostile, &source, &again}) {
    one->close_input();
    one->finish();
  }
}

TEST_F(WireDatagrams, OverIPv6) {
  const std::string v6 =
      on_soft() && machines() == 1 ? "::1" : global_ipv6_of(interface_of(Address::self().text()));
  if (v6.empty()) GTEST_SKIP() << "the device has no global IPv6 address";
  Peer peer(v6 == "::1" ? "datagram-echo address=::1" : "datagram-echo address=ipv6");
  Socket socket = make_datagram_socket(0, AF_INET6);
  socket.bind(Address(v6, 0));
  send_to(socket, peer.address(), "six");
  const Received back = receive_from(socket);
  EXPECT_EQ(back.message.view(), "six");
  EXPECT_EQ(back.from, peer.address());
  end(peer, socket);
}

TEST_F(WireDatagrams, RequestsSendAndReceiveThem) {
  Peer peer("datagram-echo");
  const Channel channel;
  Socket socket = make_datagram_socket(SOCK_NONBLOCK);
  socket.join(channel, EPOLLIN).bind(Address::self());
  Address to = peer.address();
  char text[] = "by request";
  iovec piece{text, sizeof text - 1};
  msghdr out{};
  out.msg_name = const_cast<sockaddr*>(to.get());
  out.msg_namelen = to.size();
  out.msg_iov = &piece;
  out.msg_iovlen = 1;
  iovec place{};
  sockaddr_storage from{};
  msghdr in{};
  in.msg_name = &from;
  in.msg_namelen = sizeof from;
  in.msg_iov = &place;
  in.msg_iovlen = 1;
  struct aio_cb receive {};
  struct aio_cb send {};
  receive.aio_fildes = send.aio_fildes = socket.get();
  receive.aio_msghdr = &in;
  send.aio_msghdr = &out;
  for (struct aio_cb* one : {&receive, &send}) {
    one->aio_sigevent.sigev_notify = SIGEV_EC;
    one->aio_sigevent.sigev_ec = channel.get();
  }
  must(aio_recvmsg(&receive, 0), "aio_recvmsg");
  must(aio_sendmsg(&send, 0), "aio_sendmsg");
  for (int ended = 0; ended < 2;) {
    const event_data_t event = channel.next();
    if (event.kind != EC_AIO) continue;
    EXPECT_EQ(event.error, 0);
    EXPECT_EQ(event.data.len, 10u);
    ++ended;
  }
  ASSERT_EQ(in.msg_iovlen, 1u);
  const Message message(place.iov_base, place.iov_len);
  EXPECT_EQ(message.view(), "by request");
  EXPECT_EQ(Address(reinterpret_cast<const sockaddr*>(&from)), to);
  end(peer, socket);
}

// ------------------------------------------------------------------------------ within a process

using DatagramSockets = DeviceTest;

TEST_F(DatagramSockets, HaveNames) {
  const Socket fresh = make_datagram_socket();
  EXPECT_EQ(fresh.name().port(), 0);
  EXPECT_EQ(fresh.sio::Socket::get<int>(SO_TYPE, SOL_SOCKET), SOCK_DGRAM);
  const Socket bound = make_bound();
  EXPECT_EQ(bound.name().text(), Address::self().text());
  EXPECT_NE(bound.name().port(), 0);
  expect_errors({{"no peer",
                  [&] {
                    sockaddr_storage name;
                    socklen_t length = sizeof name;
                    return sio_getpeername(bound.get(), reinterpret_cast<sockaddr*>(&name),
                                           &length);
                  },
                  ENOTCONN}});
}

TEST_F(DatagramSockets, BoundToNoAddressAreReachedByThatOfADevice) {
  Socket socket = make_datagram_socket();
  const bool v6 = Address::self().family() == AF_INET6;
  socket.bind(Address(v6 ? "::" : "0.0.0.0", 0));
  ASSERT_NE(socket.name().port(), 0);
  const Socket other = make_datagram_socket();
  send_to(other, Address::self(socket.name().port()), "found");
  EXPECT_EQ(receive_from(socket).message.view(), "found");
}

TEST_F(DatagramSockets, ThreeTalkCrosswise) {
  const Socket sockets[] = {make_bound(), make_bound(), make_bound()};
  const auto text = [](int from, int to, int n) {
    return std::to_string(from) + " to " + std::to_string(to) + ", " + std::to_string(n);
  };
  for (int n = 0; n < 20; ++n) {
    for (int from = 0; from < 3; ++from) {
      for (int to = 0; to < 3; ++to) {  // itself included
        send_to(sockets[from], sockets[to].name(), text(from, to, n));
      }
    }
    for (int to = 0; to < 3; ++to) {
      for (int i = 0; i < 3; ++i) {
        const Received received = receive_from(sockets[to]);
        int from = 0;
        while (from < 3 && !(sockets[from].name() == received.from)) ++from;
        ASSERT_LT(from, 3);
        EXPECT_EQ(received.message.view(), text(from, to, n));
      }
    }
  }
  for (const Socket& one : sockets) EXPECT_EQ(one.info().datagrams_lost, 0u);
}

TEST_F(DatagramSockets, ArePeekedAtAndTaken) {
  const Socket socket = make_bound();
  const Socket other = make_datagram_socket();
  send_to(other, socket.name(), "peek");
  const auto peeked = socket.peek();
  EXPECT_EQ(peeked.bytes.size(), 4u);
  const Received taken = receive_from(socket);
  EXPECT_EQ(taken.message.view(), "peek");
  EXPECT_EQ(taken.message.bytes().data(), peeked.bytes.data());
  EXPECT_EQ(taken.from.port(), other.name().port());
  EXPECT_FALSE(try_receive_from(socket));
}

TEST_F(DatagramSockets, OneThatIsTooLongForTheCallerStaysQueued) {
  const Socket socket = make_bound();
  send_to(make_datagram_socket(), socket.name(), "ten bytes.");
  EXPECT_EQ(socket.try_receive(0, 9).status.error(), EMSGSIZE);
  EXPECT_EQ(receive_from(socket).message.view(), "ten bytes.");
}

TEST_F(DatagramSockets, MayBeBoundBeforeTheyAreMoved) {
  const Area area(size_t{1} << 18);
  Socket socket = make_bound();
  const Address name = socket.name();
  const Channel channel;
  socket.associate(area).set(SIO_RECV_SLOTS, 4);
  EXPECT_EQ(socket.get_option<dma_mem_t>(SIO_AREA), area.get());
  socket.join(channel);
  EXPECT_EQ(socket.name(), name);
  send_to(make_datagram_socket(), name, "moved");
  {
    const event_data_t event = channel.expect(EC_RECV);
    EXPECT_EQ(event.data.mem, area.get());
    EXPECT_EQ(Message(event).view(), "moved");
  }
  EXPECT_EQ(ec_del_fd(channel.get(), socket.get()), -1) << "it has been used";
  EXPECT_EQ(errno, EISCONN);
  socket.close();
}

TEST_F(DatagramSockets, MayLeaveTheChannelWhileTheyAreUnused) {
  Socket socket = make_datagram_socket();
  const Channel channel;
  socket.join(channel).bind(Address::self());
  channel.remove(socket.get());
  send_to(make_datagram_socket(), socket.name(), "out again");
  EXPECT_EQ(receive_from(socket).message.view(), "out again");
}

TEST_F(DatagramSockets, AccountForTheirMemory) {
  const Area area(size_t{1} << 18);
  Socket socket = make_datagram_socket();
  socket.associate(area).set(SIO_RECV_SLOTS, 4).bind(Address::self());
  const Socket other = make_datagram_socket();
  for (int i = 0; i < 10; ++i) {
    send_to(other, socket.name(), "held");
    const Received one = receive_from(socket);
    EXPECT_EQ(accounts(area.get()).received, 4160u);
    EXPECT_EQ(Buffer(one.message.data(), 3).release().error(), EINVAL) << "of another length";
  }
  EXPECT_EQ(accounts(area.get()).received, 0u);
  socket.close();
  EXPECT_EQ(accounts(area.get()).free, area.bytes());
}

TEST_F(DatagramSockets, HeldMessagesOutliveThem) {
  Received held;
  {
    const Socket socket = make_bound();
    send_to(make_datagram_socket(), socket.name(), "outlives");
    held = receive_from(socket);
  }
  EXPECT_EQ(held.message.view(), "outlives");
}

TEST_F(DatagramSockets, ToNobodyFail) {
  const Address nobody = [] {
    const Socket gone = make_bound();
    return gone.name();
  }();
  const Socket socket = make_datagram_socket();
  EXPECT_EQ(try_send_to(socket, nobody, "x", 1), ECONNREFUSED);
  Socket connecting = make_datagram_socket();
  EXPECT_EQ(connecting.try_connect(nobody), ECONNREFUSED);
  EXPECT_EQ(connecting.try_send("x", 1), EDESTADDRREQ);
  // As they are for others.
  const Socket other = make_bound();
  send_to(socket, other.name(), "all the same");
  EXPECT_EQ(receive_from(other).message.view(), "all the same");
}

TEST_F(DatagramSockets, ToNobodyHaveAnOutcome) {
  const Address nobody = [] {
    const Socket gone = make_bound();
    return gone.name();
  }();
  const Area area(size_t{1} << 16);
  const Channel channel;
  Socket socket = make_datagram_socket(SOCK_NONBLOCK);
  socket.join(channel).associate(area, DMA_SEND).bind(Address::self());
  const Message block = Message::reserve(area, 100);
  EXPECT_EQ(try_send_to(socket, nobody, block.data(), 100), 0);
  const event_data_t event = channel.expect(EC_SENT);
  EXPECT_EQ(event.error, ECONNREFUSED);
  EXPECT_EQ(event.data.buf, block.data());
}

TEST_F(DatagramSockets, ToNobodyThatWereCopiedAreToldByTheSocket) {
  const Address nobody = [] {
    const Socket gone = make_bound();
    return gone.name();
  }();
  Socket socket = make_bound(SOCK_NONBLOCK);
  EXPECT_EQ(try_send_to(socket, nobody, "copied", 6), 0);
  EXPECT_EQ(socket.try_flush(kSoon).error(), ECONNREFUSED);
  EXPECT_TRUE(socket.try_flush(kSoon)) << "told once";
  EXPECT_EQ(socket.take_error(), ECONNREFUSED);
  EXPECT_EQ(try_send_to(socket, nobody, "again", 5), ECONNREFUSED) << "of late";
}

TEST_F(DatagramSockets, ThatConnectWithoutWaitingTellHowItEnded) {
  const Channel channel;
  const Socket far = make_bound();
  Socket socket = make_datagram_socket(SOCK_NONBLOCK);
  socket.join(channel).bind(Address::self());
  EXPECT_EQ(socket.try_connect(far.name()), EINPROGRESS);
  EXPECT_EQ(channel.expect(EC_CONNECT).error, 0);
  socket.send("connected");
  EXPECT_EQ(receive_from(far).from, socket.name());
  const Address nobody = [] {
    const Socket gone = make_bound();
    return gone.name();
  }();
  EXPECT_EQ(socket.try_connect(nobody), EINPROGRESS);
  EXPECT_EQ(channel.expect(EC_CONNECT).error, ECONNREFUSED);
}

TEST_F(DatagramSockets, ForgetAddressesThatWereUsedLongAgo) {
  Socket socket = make_datagram_socket();
  socket.set(SIO_DATAGRAM_PEERS, 4).bind(Address::self());
  std::vector<Socket> others;
  for (int i = 0; i < 10; ++i) others.push_back(make_bound());
  for (int round = 0; round < 2; ++round) {
    for (const Socket& one : others) {
      send_to(socket, one.name(), "hello");
      EXPECT_EQ(receive_from(one).from, socket.name());
    }
  }
  EXPECT_EQ(socket.info().lookups, 20u);
  for (int i = 0; i < 5; ++i) {  // those of late are known
    send_to(socket, others.back().name(), "hello");
    EXPECT_EQ(receive_from(others.back()).from, socket.name());
  }
  EXPECT_EQ(socket.info().lookups, 20u);
  // Who was forgotten began anew, and so nothing is missing.
  for (const Socket& one : others) EXPECT_EQ(one.info().datagrams_lost, 0u);
}

TEST_F(DatagramSockets, AnswerWhoHasComeBackAtTheSameAddress) {
  const Socket socket = make_bound();
  Address name = Address::self();
  for (int i = 0; i < 3; ++i) {
    Socket other = make_datagram_socket();
    other.bind(name);
    name = other.name();
    send_to(other, socket.name(), "it is me");
    const Received received = receive_from(socket);
    EXPECT_EQ(received.from, name);
    if (i == 2) break;  // once in a while only
    send_to(socket, received.from, "welcome");
    EXPECT_EQ(receive_from(other).message.view(), "welcome");
  }
}

TEST_F(DatagramSockets, CloseInEveryState) {
  const Area area(size_t{1} << 18);
  const Address nobody("192.0.2.77", 1234);
  const Channel channel;
  for (const bool in_channel : {false, true}) {
    Socket fresh = make_datagram_socket();
    Socket bound = make_datagram_socket(SOCK_NONBLOCK);
    Socket looking = make_datagram_socket(SOCK_NONBLOCK);
    Socket sending = make_datagram_socket(SOCK_NONBLOCK);
    for (Socket* one : {&fresh, &bound, &looking, &sending}) {
      if (in_channel) one->join(channel);
      one->associate(area, DMA_SEND).set_linger(one == &sending ? 1 : 2);
    }
    for (Socket* one : {&bound, &looking, &sending}) one->bind(Address::self());
    if (Address::self().family() == AF_INET) looking.try_connect(nobody);
    Message block = Message::reserve(area, 100);
    send_to(sending, bound.name(), block.view(), SIO_RELEASE);
    block.give_up();
    for (Socket* one : {&fresh, &bound, &looking, &sending}) EXPECT_EQ(one->close(), 0);
    EXPECT_TRUE(eventually([&] {
      channel.try_next(milliseconds(0));
      return accounts(area.get()).free == area.bytes();
    }));
  }
}

TEST_F(DatagramSockets, LeaveNothingBehind) {
  const auto use = [] {
    const Channel channel;
    Socket member = make_datagram_socket();
    member.join(channel).bind(Address::self());
    const Socket other = make_bound();
    send_to(other, member.name(), "found");
    EXPECT_EQ(Message(channel.expect(EC_RECV)).view(), "found");
    send_to(member, other.name(), "back");
    EXPECT_EQ(receive_from(other).message.view(), "back");
  };
  use();
  std::string objects;
  size_t descriptors = 0;
  const auto rests = [&] {
    const std::string now = verbs_objects();
    const size_t open = open_descriptors();
    const bool same = now == objects && open == descriptors;
    objects = now;
    descriptors = open;
    return same;
  };
  ASSERT_TRUE(eventually(rests));
  const std::string objects_before = objects;
  const size_t descriptors_before = descriptors;
  for (int i = 0; i < 10; ++i) use();
  EXPECT_TRUE(eventually([&] {
    return verbs_objects() == objects_before && open_descriptors() == descriptors_before;
  })) << verbs_objects()
      << " instead of " << objects_before << ", " << open_descriptors()
      << " descriptors instead of " << descriptors_before;
}

TEST_F(DatagramSockets, ThatSendTooFastAreHeldBackAndTold) {
  const Area area(size_t{1} << 20);
  const Channel channel;
  const Socket far = make_bound();
  Socket socket = make_datagram_socket(SOCK_NONBLOCK);
  socket.set(SIO_SEND_QUOTA, 4).join(channel).associate(area, DMA_SEND).bind(Address::self());
  Message block = Message::reserve(area, 1000);
  // Until the address is known 64 wait, and no more.
  int queued = 0;
  int error = 0;
  while ((error = try_send_to(socket, far.name(), block.data(), 1000)) == 0 && queued < 2000) {
    ++queued;
  }
  EXPECT_EQ(error, EAGAIN) << queued;
  int sent = 0;
  bool writable = false;
  while (sent < queued || !writable) {
    const event_data_t event = channel.next();
    if (event.kind == EC_WRITABLE) writable = true;
    if (event.kind == EC_SENT) ++sent;
  }
  EXPECT_EQ(sent, queued);
  EXPECT_EQ(try_send_to(socket, far.name(), block.data(), 1000), 0);
  EXPECT_EQ(channel.expect(EC_SENT).error, 0);
}

// All addresses that it has room for are being looked up, and nobody answers.
TEST_F(DatagramSockets, ThatBlockForRoomForAnAddressLetOthersOn) {
  if (Address::self().family() != AF_INET) GTEST_SKIP() << "the address of nobody is one of IPv4";
  Socket socket = make_datagram_socket();
  socket.set(SIO_DATAGRAM_PEERS, 2).set(SIO_CONNECT_TIMEOUT, 1000).bind(Address::self());
  const Socket other = make_bound();
  for (const int port : {1, 2}) {
    const int error = try_send_to(socket, nobody_at(port), "x", 1, MSG_DONTWAIT);
    if (error != 0) GTEST_SKIP() << "no way to nobody: " << std::strerror(error);
  }
  send_to(socket, other.name(), "at last");
  EXPECT_EQ(receive_from(other).message.view(), "at last");
}

// The questions of all find an answer, however many come at once.
TEST_F(DatagramSockets, AreFoundByManyAtOnce) {
  const Socket asked = make_bound();
  std::vector<Socket> others;
  for (int i = 0; i < 30; ++i) others.push_back(make_bound(SOCK_NONBLOCK));
  for (const Socket& one : others) {
    EXPECT_EQ(try_send_to(one, asked.name(), "hello", 5), 0);
  }
  timespec limit = to_timespec(kSoon);
  for (const Socket& one : others) {
    EXPECT_EQ(sio_flush(one.get(), &limit), 0) << std::strerror(errno);
  }
  for (size_t i = 0; i < others.size(); ++i) {
    EXPECT_EQ(receive_from(asked).message.view(), "hello");
  }
}

TEST_F(DatagramSockets, ThatBlockWaitForRoomAndLoseNothingThemselves) {
  const Area area(size_t{1} << 20);
  const Socket far = make_bound();
  Socket socket = make_datagram_socket();
  socket.set(SIO_SEND_QUOTA, 4).associate(area, DMA_SEND).bind(Address::self());
  const Message block = Message::reserve(area, 1000);
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(try_send_to(socket, far.name(), block.data(), 1000), 0);
  }
  socket.flush();
  EXPECT_EQ(socket.info().messages_sent, 300u);
  EXPECT_EQ(socket.info().sends_posted, 300u);
}

TEST_F(DatagramSockets, AreNotTheForkedChilds) {
  const Socket socket = make_bound();
  const Address name = socket.name();
  const pid_t child = must(fork(), "fork");
  if (child == 0) {
    void* data;
    const bool refused = sio_sendto(socket.get(), "x", 1, 0, name.get(), name.size()) == -1 &&
                         errno == EPERM && sio_recv(socket.get(), &data, 1, 0) == -1 &&
                         errno == EPERM && sio_close(socket.get()) == -1 && errno == EPERM &&
                         sio_socket(AF_INET, SOCK_DGRAM, 0) == -1 && errno == EPERM;
    _exit(refused ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  send_to(socket, name, "to myself");
  EXPECT_EQ(receive_from(socket).message.view(), "to myself");
}

// Another address of this machine for a while; what comes from there can not be answered
// afterwards.
class PassingAddress {
 public:
  explicit PassingAddress(int last) {
    const std::string self = Address::self().text();
    address_ = Address(self.substr(0, self.rfind('.') + 1) + std::to_string(last), 0);
    (interface_of(self) + ":sio").copy(request_.ifr_name, sizeof request_.ifr_name - 1);
    std::memcpy(&request_.ifr_addr, address_.get(), address_.size());
    ask(SIOCSIFADDR);
    reinterpret_cast<sockaddr_in&>(request_.ifr_addr).sin_addr.s_addr = htonl(0xffffff00);
    ask(SIOCSIFNETMASK);
  }
  ~PassingAddress() {
    request_.ifr_flags = 0;
    ask(SIOCSIFFLAGS);
  }
  PassingAddress(const PassingAddress&) = delete;
  PassingAddress& operator=(const PassingAddress&) = delete;

  const Address& get() const { return address_; }

 private:
  void ask(unsigned long what) {
    if (ioctl(any_.get(), what, &request_) != 0) complain("an address for a while: " + name());
  }
  std::string name() const { return std::string(request_.ifr_name) + std::strerror(errno); }

  const Fd any_{must(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket")};
  Address address_;
  ifreq request_{};
};

TEST_F(DatagramSockets, SendFromTheAddressThatTheyAreAt) {
  if (on_soft() || geteuid() != 0) GTEST_SKIP() << "is about a device, and takes root";
  if (Address::self().family() != AF_INET) GTEST_SKIP() << "of one interface with two";
  const PassingAddress second(201);
  Socket socket = make_datagram_socket();
  ASSERT_TRUE(eventually([&] {  // until the device has it too
    return sio_bind(socket.get(), second.get().get(), second.get().size()) == 0;
  }));
  Socket other = make_bound();
  other.connect(socket.name());
  send_to(socket, other.name(), "from here");
  const auto received = await_from(other);
  ASSERT_TRUE(received) << "a connected one takes what is its peer's";
  EXPECT_EQ(received->from, socket.name());
  socket.close();
}

// To make a way to an address the kernel asks for it, a second long, and we wait.
TEST_F(DatagramSockets, ThatAnswerSpoofedAddressesAreNotHeldUpByEach) {
  if (on_soft() || geteuid() != 0) GTEST_SKIP() << "is about a device, and takes root";
  if (Address::self().family() != AF_INET) GTEST_SKIP() << "spoofs IPv4";
  Socket socket = make_bound(SOCK_NONBLOCK);
  socket.set_linger(0);
  std::vector<Address> spoofed;
  for (const int last : {201, 202, 203, 204}) {
    const PassingAddress passing(last);
    Socket sender = make_datagram_socket();
    ASSERT_TRUE(eventually([&] {  // until the device has it too
      return sio_bind(sender.get(), passing.get().get(), passing.get().size()) == 0;
    }));
    send_to(sender, socket.name(), "is it you?");
    const auto received = await_from(socket);
    ASSERT_TRUE(received);
    EXPECT_EQ(received->from.text(), passing.get().text());
    spoofed.push_back(received->from);
  }
  const auto start = Clock::now();
  for (const Address& one : spoofed) {
    EXPECT_EQ(try_send_to(socket, one, "yes", 3), 0);
  }
  EXPECT_LT(since(start), milliseconds(2000)) << "one of them may have taken a second";
}

// What leaves meanwhile is lost, and nothing else is.
TEST_F(DatagramSockets, OutliveALinkThatIsDownForAWhile) {
  if (on_soft()) GTEST_SKIP() << "is about a device";
  const Channel channel;
  Socket socket = make_datagram_socket();
  socket.join(channel).bind(Address::self());
  const Socket far = make_bound();
  send_to(socket, far.name(), "before");
  EXPECT_EQ(receive_from(far).message.view(), "before");
  Peer breaker("link-down ms=500");
  breaker.expect("down");
  eventually(  // for as long as it is down, about
      [&] {
        try_send_to(socket, far.name(), "meanwhile", 9, MSG_DONTWAIT);
        try_receive_from(far);
        return false;
      },
      milliseconds(400));
  breaker.expect("up");
  breaker.finish();
  EXPECT_TRUE(eventually([&] {
    try_send_to(socket, far.name(), "after", 5, MSG_DONTWAIT);
    const auto received = await_from(far, milliseconds(100));
    return received && received->message.view() == "after";
  }));
  while (const auto event = channel.try_next(milliseconds(0))) {
    EXPECT_EQ(event->kind, uint32_t{EC_WRITABLE}) << kind_name(event->kind) << event->error;
  }
}

// ---------------------------------------------------------------------------------------- misuse

using MisuseOfDatagrams = DeviceTest;

TEST_F(MisuseOfDatagrams, CallsForConnections) {
  const Socket socket = make_bound();
  const Channel channel;
  const int fd = socket.get();
  expect_errors({
      {"listen", [&] { return sio_listen(fd, 1); }, EOPNOTSUPP},
      {"accept", [&] { return sio_accept(fd, nullptr, nullptr); }, EOPNOTSUPP},
      {"accept4", [&] { return sio_accept4(fd, nullptr, nullptr, 0); }, EOPNOTSUPP},
      {"accept_ec", [&] { return sio_accept_ec(fd, nullptr, nullptr, 0, channel.get(), nullptr); },
       EOPNOTSUPP},
      {"shutdown", [&] { return sio_shutdown(fd, SHUT_RDWR); }, EOPNOTSUPP},
  });
}

TEST_F(MisuseOfDatagrams, Addresses) {
  const Socket fresh = make_datagram_socket();
  Socket socket = make_bound();
  const Address self = socket.name();
  const Address no_port = Address::self();
  const Address other("::1", 7);
  const int fd = socket.get();
  const auto send_to_it = [&](const Address& to, socklen_t size) {
    return sio_sendto(fd, "x", 1, 0, to.get(), size);
  };
  void* data;
  expect_errors({
      {"nowhere", [&] { return sio_send(fd, "x", 1, 0); }, EDESTADDRREQ},
      {"nowhere, fresh", [&] { return sio_send(fresh.get(), "x", 1, 0); }, EDESTADDRREQ},
      {"fresh", [&] { return sio_recv(fresh.get(), &data, 1, 0); }, ENOTCONN},
      {"bound", [&] { return sio_bind(fd, self.get(), self.size()); }, EINVAL},
      {"no port", [&] { return send_to_it(no_port, no_port.size()); }, EINVAL},
      {"too short", [&] { return send_to_it(self, 4); }, EINVAL},
      {"a flag", [&] { return sio_sendto(fd, "x", 1, MSG_OOB, self.get(), self.size()); }, EINVAL},
      {"NULL", [&] { return sio_sendto(fd, nullptr, 1, 0, self.get(), self.size()); }, EINVAL},
      {"connect to no port", [&] { return sio_connect(fd, no_port.get(), no_port.size()); },
       EINVAL},
  });
  if (self.family() == AF_INET) {
    expect_errors({
        {"IPv6", [&] { return send_to_it(other, other.size()); }, EAFNOSUPPORT},
        {"connect to IPv6", [&] { return sio_connect(fd, other.get(), other.size()); },
         EAFNOSUPPORT},
    });
  }
  socket.connect(self);
  expect_errors({{"connected", [&] { return send_to_it(self, self.size()); }, EISCONN}});
}

TEST_F(MisuseOfDatagrams, MemoryThatConnectionsShare) {
  const Area area(size_t{1} << 20);
  const Channel channel;
  Socket loner = make_datagram_socket();
  Socket member = make_datagram_socket();
  member.join(channel);
  for (const Socket* one : {&loner, &member}) {
    EXPECT_EQ(dma_assoc(one->get(), area.get(), area.bytes(), DMA_SHARED), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(accounts(area.get()).posted, 0u);
    must(sio_bind(one->get(), Address::self().get(), Address::self().size()), "sio_bind");
  }
}

TEST_F(MisuseOfDatagrams, Sizes) {
  const Area area(size_t{1} << 16);
  Socket socket = make_datagram_socket();
  socket.associate(area, DMA_SEND).bind(Address::self());
  const Address self = socket.name();
  const size_t most = socket.get_option<uint64_t>(SIO_MAX_MESSAGE);
  const Message block = Message::reserve(area, most + 1);
  const std::string elsewhere(2000, 'x');
  EXPECT_EQ(try_send_to(socket, self, block.data(), most + 1), EMSGSIZE);
  EXPECT_EQ(try_send_to(socket, self, elsewhere.data(), elsewhere.size()), EFAULT);
  EXPECT_EQ(try_send_to(socket, self, elsewhere.data(), 10, SIO_RELEASE), EINVAL);
  EXPECT_EQ(try_send_to(socket, self, block.data(), most - 1, SIO_RELEASE), EINVAL);
  EXPECT_EQ(accounts(area.get()).in_flight, 0u);
}

TEST_F(MisuseOfDatagrams, Options) {
  Socket socket = make_bound();
  const Channel channel;
  const Area area(size_t{1} << 18);
  send_to(socket, socket.name(), "used");
  const int fd = socket.get();
  const int four = 4;
  expect_errors({
      {"too late", [&] { return sio_setsockopt(fd, SOL_SIO, SIO_RECV_SLOTS, &four, 4); }, EISCONN},
      {"peers", [&] { return sio_setsockopt(fd, SOL_SIO, SIO_DATAGRAM_PEERS, &four, 4); }, EISCONN},
      {"a channel", [&] { return ec_add_fd(channel.get(), fd, EC_DELIVER, nullptr); }, EISCONN},
      {"an area", [&] { return dma_assoc(fd, area.get(), area.bytes(), 0); }, EISCONN},
  });
  Socket small = make_datagram_socket();
  const int one = 1;
  expect_errors({
      {"too few", [&] { return sio_setsockopt(small.get(), SOL_SIO, SIO_DATAGRAM_PEERS, &one, 4); },
       EINVAL},
      {"too small an area", [&] { return dma_assoc(small.get(), area.get(), 4160, 0); }, EINVAL},
  });
}

}  // namespace
}  // namespace sio::test
