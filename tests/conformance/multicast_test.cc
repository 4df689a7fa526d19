// SPDX-License-Identifier: BSD-2-Clause
//
// Datagram sockets in multicast groups.
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "conformance/datagrams.h"
#include "conformance/fixtures.h"
#include "conformance/lines.h"
#include "conformance/peer.h"

namespace sio::test {
namespace {

// Of this run alone: nobody else on the network is to be disturbed, or disturbs.
Address group(int n, uint16_t port = 0) { return {"239.255.8." + std::to_string(n), port}; }

Socket make_member(const Address& of, uint16_t port = 0, bool reuse = false) {
  Socket socket = make_datagram_socket();
  const int on = reuse ? 1 : 0;
  must(sio_setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
  socket.bind(Address::self(port));
  join(socket, of);
  return socket;
}

// At the address under test: unbound, it would send by the interface that the host's routes say.
Socket make_sender() {
  Socket socket = make_datagram_socket();
  socket.bind(Address::self());
  return socket;
}

// Until the peer gets what is sent to its group: the network may learn of a member later than the
// member does.
void greet(Peer& peer, const Socket& socket, const Address& to) {
  insist(peer, "heard", [&] { send_to(socket, to, "hello"); });
}

std::vector<std::string> end(Peer& peer, const Socket& socket, const Address& to) {
  return split_words(insist(peer, "ended", [&] { send_to(socket, to, "end"); }));
}

void skip_without_ipv4() {
  if (Address::self().family() != AF_INET) GTEST_SKIP() << "the address is not one of IPv4";
}

class WireGroups : public WireTest {
 protected:
  void SetUp() override {
    WireTest::SetUp();
    if (!IsSkipped()) skip_without_ipv4();
  }
};

class Groups : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (!IsSkipped()) skip_without_ipv4();
  }
};

using MisuseOfGroups = Groups;

TEST_F(WireGroups, MembersElsewhereGetWhatIsSent) {
  Peer first("datagram-member group=239.255.8.1");
  const uint16_t port = first.address().port();
  const Socket socket = make_sender();
  const Address to = group(1, port);
  greet(first, socket, to);
  for (int i = 0; i < 50; ++i) send_to(socket, to, "number " + std::to_string(i));
  const auto words = end(first, socket, to);
  EXPECT_EQ(words.at(0), "50");
  EXPECT_EQ(words.at(1), "0");
  EXPECT_EQ(words.at(3), "49");
  first.finish();
}

TEST_F(WireGroups, MembersMayAnswerTheSender) {
  Peer member("datagram-member answer=1 group=239.255.8.2");
  const Socket socket = make_sender();
  const Address to = group(2, member.address().port());
  greet(member, socket, to);
  send_to(socket, to, "who is there?");
  const Received answer = receive_from(socket);
  EXPECT_EQ(answer.message.view(), "answer");
  EXPECT_EQ(answer.from, member.address());
  end(member, socket, to);
  member.finish();
}

TEST_F(WireGroups, TwoAtOnePortGetTheSame) {
  Peer first("datagram-member reuse=1 group=239.255.8.3");
  const uint16_t port = first.address().port();
  Peer second("datagram-member reuse=1 group=239.255.8.3 port=" + std::to_string(port));
  EXPECT_EQ(second.address().port(), port);
  Socket socket = make_sender();
  socket.connect(group(3, port));
  EXPECT_EQ(socket.get_option<uint64_t>(SIO_MAX_MESSAGE), socket.info().mtu - 2);
  for (Peer* one : {&first, &second}) insist(*one, "heard", [&] { socket.send("hello"); });
  for (int i = 0; i < 20; ++i) socket.send("to both");
  for (Peer* one : {&first, &second}) {
    EXPECT_EQ(split_words(insist(*one, "ended", [&] { socket.send("end"); })).at(0), "20");
    one->finish();
  }
}

TEST_F(WireGroups, TheLargestIsTwoBytesSmaller) {
  Peer member("datagram-member group=239.255.8.4");
  const Area area(size_t{1} << 16);
  Socket socket = make_datagram_socket();
  socket.associate(area, DMA_SEND).bind(Address::self());
  const Address to = group(4, member.address().port());
  const size_t most = socket.info().mtu - 2;
  const Message block = Message::reserve(area, most + 1);
  std::memset(block.data(), 'm', block.size());
  greet(member, socket, to);
  EXPECT_EQ(try_send_to(socket, to, block.data(), most + 1), EMSGSIZE);
  EXPECT_EQ(try_send_to(socket, to, block.data(), most), 0);
  const auto words = end(member, socket, to);
  EXPECT_EQ(words.at(0), "1");
  EXPECT_EQ(words.at(2).size(), most);
  socket.flush();
  member.finish();
}

TEST_F(Groups, AreForMembersAtThePort) {
  const Socket here = make_member(group(10));
  const Socket elsewhere = make_member(group(11));
  const Socket other_port = make_member(group(10));
  const Socket stranger = make_sender();
  const Address to = group(10, here.name().port());
  for (int i = 0; i < 3; ++i) send_to(stranger, to, "to the group");
  for (int i = 0; i < 3; ++i) {
    const Received received = receive_from(here);
    EXPECT_EQ(received.message.view(), "to the group");
    EXPECT_EQ(received.from.port(), stranger.name().port());
  }
  EXPECT_TRUE(eventually([&] {
    EXPECT_FALSE(try_receive_from(other_port));
    return other_port.info().datagrams_unwanted == 3;
  }));
  EXPECT_FALSE(try_receive_from(elsewhere));
  EXPECT_EQ(here.info().datagrams_lost, 0u);
}

TEST_F(Groups, MayBeLeft) {
  const Socket member = make_member(group(12));
  const Socket stayer = make_member(group(12), member.name().port(), true);
  const Socket stranger = make_sender();
  const Address to = group(12, member.name().port());
  send_to(stranger, to, "before");
  EXPECT_EQ(receive_from(member).message.view(), "before");
  EXPECT_EQ(receive_from(stayer).message.view(), "before");
  EXPECT_EQ(try_leave(member, group(12)), 0);
  send_to(stranger, to, "after");
  EXPECT_EQ(receive_from(stayer).message.view(), "after");
  EXPECT_FALSE(await_from(member, milliseconds(20)));
  join(member, group(12));
  send_to(stranger, to, "again");
  EXPECT_EQ(receive_from(member).message.view(), "again");
}

TEST_F(Groups, SendersGetNothingBack) {
  const Socket member = make_member(group(13));
  const Socket other = make_member(group(13), member.name().port(), true);
  send_to(member, group(13, member.name().port()), "to all but me");
  EXPECT_EQ(receive_from(other).message.view(), "to all but me");
  EXPECT_FALSE(await_from(member, milliseconds(20)));
}

TEST_F(Groups, AreDelivered) {
  const Channel channel;
  Socket member = make_datagram_socket();
  member.join(channel).bind(Address::self());
  join(member, group(14));
  const Socket sender = make_sender();
  send_to(sender, group(14, member.name().port()), "delivered");
  const event_data_t event = channel.expect(EC_RECV);
  EXPECT_EQ(Address(event.data.from).port(), sender.name().port());
  EXPECT_EQ(Message(event).view(), "delivered");
}

TEST_F(Groups, DatagramsToOneselfAreToldFromThose) {
  const Socket member = make_member(group(15));
  const Socket sender = make_sender();
  for (int i = 0; i < 10; ++i) {
    send_to(sender, member.name(), "alone");
    EXPECT_EQ(receive_from(member).message.view(), "alone");
    send_to(sender, group(15, member.name().port()), "all");
    EXPECT_EQ(receive_from(member).message.view(), "all");
  }
  EXPECT_EQ(member.info().datagrams_lost + member.info().datagrams_late, 0u);
}

TEST_F(Groups, CloseWithSocketsOfEveryKind) {
  for (int i = 0; i < 5; ++i) {
    const Channel channel;
    Socket member = make_datagram_socket();
    member.join(channel).bind(Address::self());
    join(member, group(16));
    join(member, group(17));
    send_to(member, group(16, 7), "leaving");
  }
}

// Whose memory is changed meanwhile: as long as it is in no group a socket may be made anew.
TEST_F(Groups, MayBeLeftByOthersWhileTheyAreJoined) {
  const Area area(size_t{1} << 20);
  const Socket member = make_sender();
  std::atomic<bool> over{false};
  std::thread other([&] {
    while (!over) {
      try_leave(member, group(18));
      if (dma_assoc(member.get(), area.get(), area.bytes(), DMA_RECV) == 0) {
        dma_disassoc(member.get(), area.get(), area.bytes());
      }
      // Else the socket is seldom free.
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });
  for (uint64_t i = 0; i < scaled(300); ++i) {
    const int error = try_join(member, group(18));
    if (error != 0 && error != EADDRNOTAVAIL && error != EADDRINUSE) ADD_FAILURE() << error;
    if (error == EADDRINUSE) try_leave(member, group(18));
  }
  over = true;
  other.join();
  try_leave(member, group(18));
  join(member, group(18));
}

TEST_F(Groups, OverIPv6) {
  const Address at = self_of(AF_INET6);
  if (at.family() != AF_INET6) GTEST_SKIP() << "the device has no global IPv6 address";
  if (const char* const why = no_groups(at)) {
    if (!on_soft()) {
      Socket socket = make_datagram_socket(0, AF_INET6);
      socket.bind(at);
      EXPECT_EQ(try_join(socket, Address("ff15::8:1", 0)), EOPNOTSUPP);
    }
    GTEST_SKIP() << why;
  }
  Socket member = make_datagram_socket(0, AF_INET6);
  member.bind(at);
  join(member, Address("ff15::8:1", 0));
  Socket sender = make_datagram_socket(0, AF_INET6);
  sender.bind(at);
  send_to(sender, Address("ff15::8:1", member.name().port()), "six");
  EXPECT_EQ(receive_from(member).message.view(), "six");
}

TEST_F(MisuseOfGroups, Membership) {
  const Socket member = make_member(group(20));
  Socket connection = Socket::make();
  const int fd = member.get();
  const int other = connection.get();
  const auto with = [&](int socket, const char* text, int option, socklen_t size = sizeof(ip_mreq),
                        const char* interface = "0.0.0.0") {
    ip_mreqn wish{};
    inet_pton(AF_INET, text, &wish.imr_multiaddr);
    inet_pton(AF_INET, interface, &wish.imr_address);
    return sio_setsockopt(socket, IPPROTO_IP, option, &wish, size);
  };
  const ipv6_mreq six{};
  constexpr int kAdd = IP_ADD_MEMBERSHIP;
  constexpr int kDrop = IP_DROP_MEMBERSHIP;
  expect_errors({
      {"twice", [&] { return with(fd, "239.255.8.20", kAdd); }, EADDRINUSE},
      {"not a member", [&] { return with(fd, "239.255.8.21", kDrop); }, EADDRNOTAVAIL},
      {"no group", [&] { return with(fd, "10.9.0.1", kAdd); }, EINVAL},
      {"nothing", [&] { return with(fd, "0.0.0.0", kAdd); }, EINVAL},
      {"too short", [&] { return with(fd, "239.255.8.22", kAdd, 4); }, EINVAL},
      {"elsewhere", [&] { return with(fd, "239.255.8.22", kAdd, sizeof(ip_mreq), "192.0.2.1"); },
       EADDRNOTAVAIL},
      {"a connection", [&] { return with(other, "239.255.8.22", kAdd); }, ENOPROTOOPT},
      {"another option", [&] { return with(fd, "239.255.8.22", IP_TTL); }, ENOPROTOOPT},
      {"IPv6", [&] { return sio_setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &six, sizeof six); },
       ENOPROTOOPT},
      {"NULL", [&] { return sio_setsockopt(fd, IPPROTO_IP, kAdd, nullptr, 8); }, EINVAL},
      {"no socket", [&] { return with(-1, "239.255.8.22", kAdd); }, EBADF},
  });
  EXPECT_EQ(try_leave(member, group(20)), 0);
}

TEST_F(MisuseOfGroups, TooMany) {
  const Socket member = make_member(group(100));
  for (int i = 1; i < 20; ++i) join(member, group(100 + i));
  EXPECT_EQ(try_join(member, group(120)), ENOBUFS);
  EXPECT_EQ(try_leave(member, group(100)), 0);
  join(member, group(120));
}

TEST_F(MisuseOfGroups, AnInterfaceByNumber) {
  Socket member = make_datagram_socket();
  member.bind(Address::self());
  ip_mreqn wish{};
  inet_pton(AF_INET, "239.255.8.30", &wish.imr_multiaddr);
  wish.imr_ifindex = static_cast<int>(if_nametoindex(interface_of(Address::self().text()).c_str()));
  must(sio_setsockopt(member.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &wish, sizeof wish),
       "by number");
  inet_pton(AF_INET, "239.255.8.31", &wish.imr_multiaddr);
  wish.imr_ifindex += 1000;
  expect_errors({{"no such interface",
                  [&] {
                    return sio_setsockopt(member.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &wish,
                                          sizeof wish);
                  },
                  ENODEV}});
}

}  // namespace
}  // namespace sio::test
